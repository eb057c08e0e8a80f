"use strict";
// The page: a film goes up, its progress is followed, and what comes back is shown, heard and kept.

const LONGEST_TAKE = 10; // seconds of camera
const RATE = 16000, FFT = 1024, LOW = 125, HIGH = 7600, WIDTH_OF_DECIBELS = 85;
const STOPS = [[0, 0, 4], [60, 15, 110], [150, 40, 110], [225, 90, 45], [250, 180, 30], [252, 255, 190]];
const PICTURES = 12, NARROWEST = 70; // of a film strip, and pixels of one of them

const at = (id) => document.getElementById(id);
const show = (id, shown = true) => { at(id).hidden = !shown; };

let film = null; // the last one that was given
let request = null; // what is under way
let recorder = null; // what takes the camera
let address = null; // of the result

// Sending, and following

function headers() {
  const token = at("token").value;
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function query(job) {
  const wanted = new URLSearchParams({ job, seed: at("seed").value || "0" });
  if (at("quality").value) wanted.set("quality", at("quality").value);
  if (film.type.startsWith("video/webm")) wanted.set("format", "webm");
  return wanted;
}

function name() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function send(given) {
  if (!given) return;
  leaveCamera();
  if (request) request.abort();
  film = given;
  const job = name(), begun = performance.now(), following = new AbortController();
  const sending = request = new XMLHttpRequest();
  sending.open("POST", `v1/sounds?${query(job)}`);
  for (const [key, value] of Object.entries(headers())) sending.setRequestHeader(key, value);
  sending.setRequestHeader("Content-Type", "application/octet-stream");
  sending.responseType = "blob";
  sending.upload.onprogress = (event) => say(`sending, ${percent(event.loaded / event.total)}`, event.loaded / event.total);
  sending.upload.onload = () => follow(job, following.signal);
  sending.onloadend = async () => {
    following.abort();
    if (request !== sending) return;
    request = null;
    show("work", false);
    if (sending.status === 200) await present(sending.response, (performance.now() - begun) / 1000);
    else if (sending.status) await complain(sending);
  };
  sending.onerror = () => fail("The server cannot be reached.");
  for (const id of ["fault", "result", "recorder"]) show(id, false);
  show("work");
  say("sending", 0);
  sending.send(given);
}

async function follow(job, signal) {
  try {
    const answer = await fetch(`v1/jobs/${job}/events`, { headers: headers(), signal });
    if (!answer.ok) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) tell(event);
    }
  } catch (error) {
    if (error.name !== "AbortError") console.warn(error);
  }
}

function tell(event) {
  const data = event.split("\n").find((line) => line.startsWith("data: "));
  if (!data) return;
  const { state, fraction, ahead } = JSON.parse(data.slice(6));
  if (state === "waiting") say(`waiting, ${ahead} before this one`, 0);
  if (state === "running") say(`making the sound, ${percent(fraction)}`, fraction);
}

function say(text, fraction) {
  at("state").textContent = text;
  at("bar").value = fraction;
}

const percent = (fraction) => `${Math.round(100 * fraction)} %`;

async function complain(answer) {
  let text = `The server answered ${answer.status}.`;
  try { text = JSON.parse(await answer.response.text()).error; } catch { /* not one of its own answers */ }
  if (answer.status === 401) {
    show("secret");
    at("token").focus();
    text = "This server wants a token: enter it, and give the film again.";
  }
  if (answer.status === 503) text += ` Try again in ${answer.getResponseHeader("Retry-After") || "some"} s.`;
  fail(text);
}

function fail(text) {
  at("fault").textContent = text;
  show("fault");
}

// Showing

async function present(blob, seconds) {
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(blob);
  const suffix = { "video/mp4": "mp4", "video/webm": "webm", "video/quicktime": "mov" }[blob.type] || "mkv";
  at("download").href = address;
  at("download").download = `${(film.name || "camera").replace(/\.[^.]*$/, "")}.mdsgen.${suffix}`;
  at("took").textContent = `${seconds.toFixed(1)} s, ${(blob.size / 2 ** 20).toFixed(1)} MiB`;
  at("film").src = address;
  show("result");
  const results = await Promise.allSettled([drawSound(blob), drawStrip(address)]);
  const faults = results.filter((result) => result.status === "rejected");
  if (faults.length) fail(`This browser cannot play such a film (${faults[0].reason.message}); the download is whole.`);
  document.body.dataset.shown = faults.length ? "in part" : "whole";
}

async function drawSound(blob) {
  const context = new OfflineAudioContext(1, 1, RATE);
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  at("end").textContent = `${sound.duration.toFixed(2)} s`;
  const canvas = at("spectrogram"), width = 800, height = 176;
  canvas.width = width;
  canvas.height = height;
  const picture = canvas.getContext("2d").createImageData(width, height);
  paint(picture, sound.getChannelData(0));
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function paint(picture, samples) {
  const { width, height, data } = picture;
  const columns = Array.from({ length: width }, (_, x) => spectrum(samples, Math.round((x + 0.5) / width * samples.length)));
  const loudest = columns.reduce((most, column) => column.reduce((one, other) => Math.max(one, other), most), 1e-6);
  columns.forEach((column, x) => {
    for (let y = 0; y < height; y++) {
      const tone = LOW * (HIGH / LOW) ** (1 - y / (height - 1));
      const level = 1 + 20 * Math.log10(between(column, tone * FFT / RATE) / loudest + 1e-9) / WIDTH_OF_DECIBELS;
      data.set([...colour(Math.max(0, level)), 255], 4 * (y * width + x));
    }
  });
}

const between = (column, place) => {
  const first = Math.floor(place), share = place - first;
  return column[first] * (1 - share) + column[first + 1] * share;
};

function colour(level) {
  const place = Math.min(level, 0.9999) * (STOPS.length - 1), first = Math.floor(place), share = place - first;
  return STOPS[first].map((value, i) => value * (1 - share) + STOPS[first + 1][i] * share);
}

const HANN = Float32Array.from({ length: FFT }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / FFT));

/** Magnitudes of FFT samples around `centre`: a radix-2 Fourier transform in place. */
function spectrum(samples, centre) {
  const real = new Float32Array(FFT), imaginary = new Float32Array(FFT), bits = Math.log2(FFT);
  for (let i = 0; i < FFT; i++) {
    let mirrored = 0;
    for (let bit = 0; bit < bits; bit++) mirrored |= ((i >> bit) & 1) << (bits - 1 - bit);
    real[mirrored] = HANN[i] * (samples[centre - FFT / 2 + i] || 0);
  }
  for (let size = 2; size <= FFT; size *= 2) {
    for (let k = 0; k < size / 2; k++) {
      const c = Math.cos(2 * Math.PI * k / size), s = -Math.sin(2 * Math.PI * k / size);
      for (let a = k; a < FFT; a += size) {
        const b = a + size / 2;
        const re = real[b] * c - imaginary[b] * s, im = real[b] * s + imaginary[b] * c;
        real[b] = real[a] - re; imaginary[b] = imaginary[a] - im;
        real[a] += re; imaginary[a] += im;
      }
    }
  }
  return Float32Array.from({ length: FFT / 2 + 1 }, (_, i) => Math.hypot(real[i], imaginary[i]));
}

async function drawStrip(source) {
  const video = document.createElement("video");
  video.muted = video.playsInline = true;
  video.preload = "auto";
  video.src = source;
  await heard(video, "loadeddata");
  const canvas = at("strip"), height = 96;
  const pictures = Math.max(3, Math.min(PICTURES, Math.floor(at("picture").clientWidth / NARROWEST)));
  canvas.height = height;
  canvas.width = pictures * Math.round(height * video.videoWidth / video.videoHeight);
  const context = canvas.getContext("2d"), step = canvas.width / pictures;
  for (let i = 0; i < pictures; i++) {
    video.currentTime = (i + 0.5) / pictures * video.duration;
    await heard(video, "seeked");
    context.drawImage(video, i * step, 0, step, height);
  }
}

const heard = (video, event) => new Promise((resolve, reject) => {
  video.addEventListener(event, resolve, { once: true });
  video.addEventListener("error", () => reject(new Error("its pictures cannot be shown")), { once: true });
});

function point() {
  const { currentTime, duration } = at("film");
  at("needle").style.left = `${100 * (currentTime / duration || 0)}%`;
  if (!at("film").paused) requestAnimationFrame(point);
}

// Taking the camera

async function record() {
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) { // no secure connection, or an old browser
    at("capture").click();
    return;
  }
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    take(stream);
  } catch (error) {
    fail(`The camera cannot be had: ${error.message}`);
  }
}

function take(stream) {
  const kinds = ["video/mp4", "video/webm;codecs=vp9", "video/webm"];
  const taking = new MediaRecorder(stream, { mimeType: kinds.find((kind) => MediaRecorder.isTypeSupported(kind)) });
  const parts = [], begun = performance.now();
  const stop = () => { if (taking.state !== "inactive") taking.stop(); };
  leaveCamera();
  recorder = taking;
  const clock = setInterval(() => {
    const seconds = (performance.now() - begun) / 1000;
    at("clock").textContent = `${seconds.toFixed(1)} of ${LONGEST_TAKE} s`;
    if (seconds >= LONGEST_TAKE) stop();
  }, 100);
  taking.ondataavailable = (event) => parts.push(event.data);
  taking.onstop = () => {
    clearInterval(clock);
    for (const track of stream.getTracks()) track.stop();
    if (recorder !== taking) return;
    recorder = null;
    send(new Blob(parts, { type: taking.mimeType }));
  };
  at("stop").onclick = stop;
  at("view").srcObject = stream;
  for (const id of ["fault", "result"]) show(id, false);
  show("recorder");
  taking.start();
}

/** Let go of the camera, and of what has been taken: another film was given, or it is taken anew. */
function leaveCamera() {
  const left = recorder;
  recorder = null;
  if (left && left.state !== "inactive") left.stop();
}

// What a person does

for (const id of ["file", "capture"]) {
  at(id).addEventListener("change", () => { send(at(id).files[0]); at(id).value = ""; });
}
addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
addEventListener("dragleave", () => at("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  send(event.dataTransfer.files[0]);
});
at("camera").addEventListener("click", record);
at("cancel").addEventListener("click", () => {
  if (!request) return;
  const ending = request;
  request = null;
  ending.abort();
  show("work", false);
});
at("again").addEventListener("click", () => { at("seed").value = Number(at("seed").value) + 1; send(film); });
at("film").addEventListener("play", point);
at("film").addEventListener("seeked", point);
at("token").value = sessionStorage.getItem("token") || "";
at("token").addEventListener("change", () => sessionStorage.setItem("token", at("token").value));
show("secret", Boolean(at("token").value));
