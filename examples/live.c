/* Sound for raw pictures from a pipe, from C (docs/c.md):
 *
 *   ffmpeg -i video.mp4 -f rawvideo -pix_fmt rgb24 -s 320x240 -r 25 - | ./live 320 240 25 > sound.f32
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "mdsgen.h"

static int failed(void) {
    const char *why = mdsgen_error();
    fprintf(stderr, "live: %s\n", why ? why : "Python could not start");
    return 1;
}

/* Write what is ready; how the last mdsgen_pull went. */
static long drain(mdsgen *session) {
    float samples[4096];
    long count;
    while ((count = mdsgen_pull(session, samples, 4096)) > 0)
        fwrite(samples, sizeof *samples, (size_t)count, stdout);
    return count;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: live WIDTH HEIGHT RATE [BUNDLE]\n");
        return 2;
    }
    int width = atoi(argv[1]), height = atoi(argv[2]);
    char options[80];
    snprintf(options, sizeof options, "engine=onnxruntime threads=1 frame_rate=%s", argv[3]);
    mdsgen *session = mdsgen_open(argc > 4 ? argv[4] : NULL, options);
    if (session == NULL)
        return failed();
    size_t size = (size_t)width * (size_t)height * 3;
    uint8_t *picture = malloc(size);
    long state = 0;
    while (picture && state == 0 && fread(picture, 1, size, stdin) == size)
        if ((state = mdsgen_push(session, picture, width, height, 3 * width, NAN)) == 0)
            state = drain(session);
    if (state == 0 && (state = mdsgen_end(session)) == 0)
        state = drain(session);
    free(picture);
    int result = state == 0 ? 0 : failed();
    mdsgen_close(session);
    return result;
}
