/* Sound for pictures as they come, for programs in C: Pipeline.live of mdsgen, with Python inside (docs/c.md).
 *
 * Any thread may call anything, but mdsgen_close only when no other call on that session is under way. What fails says
 * why in mdsgen_error.
 */
#ifndef MDSGEN_H
#define MDSGEN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A model that is open, and the sound of one source. */
typedef struct mdsgen mdsgen;

/* Open a bundle's folder, or with NULL $MDSGEN_BUNDLE or else the demo model. The options are words such as
 * "engine=onnxruntime threads=2 steps=4 seed=7 frame_rate=25 block=0.512 lookahead=0.256"; NULL is none.
 * NULL where it fails. */
mdsgen *mdsgen_open(const char *bundle, const char *options);

/* Take a picture, RGB of 8 bits whose rows begin every stride bytes, at a time in seconds on any clock, or with NAN at
 * the next of an even frame_rate. It is copied, and nothing is computed yet. 0, or -1 where it fails. */
int mdsgen_push(mdsgen *session, const uint8_t *rgb, int width, int height, int stride, double time);

/* No picture comes any more. 0, or -1 where it fails. */
int mdsgen_end(mdsgen *session);

/* Compute what is ready and write at most that many samples: 16 kHz, mono, between -1 and 1, without gaps; the first
 * belongs to the first picture. How many were written: 0 where nothing is ready before mdsgen_end, and after it where
 * all is out; -1 where it fails. */
long mdsgen_pull(mdsgen *session, float *samples, size_t most);

/* Let everything of the session go; NULL is let be. */
void mdsgen_close(mdsgen *session);

/* What the last failed call of this thread said, until its next failure; NULL where none has, or where Python itself
 * could not start, which then has been said on stderr. */
const char *mdsgen_error(void);

#ifdef __cplusplus
}
#endif

#endif
