"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const shares = bytes(data.shares), binStates = bytes(data.binStates), quality = bytes(data.quality);
  const doubt = bytes(data.doubt), sets = bytes(data.sets), tellsDoubt = data.limit !== null;
  const envelope = new Int8Array(bytes(data.envelope).buffer);
  const spectrogram = bytes(data.spectrogram);
  const details = data.details.map(([start, length, text]) => ({ start, length, values: new Int16Array(bytes(text).buffer) }));
  const seconds = data.seconds, nBins = binStates.length, nClasses = data.classes.length, nChannels = data.channels.length;
  const binSeconds = nBins ? data.bins[0][1] - data.bins[0][0] : 10;
  const nSeconds = envelope.length / 2 / nChannels;
  const nColumns = spectrogram.length / data.regions.length / data.rows;
  const DOUBTFUL = nClasses, NOT_EVALUATED = nClasses + 1;

  // ---- what both drawings share

  const overview = document.getElementById("overview"), eeg = document.getElementById("eeg");
  const read = document.getElementById("read");
  const pageChoice = document.getElementById("page"), sensitivityChoice = document.getElementById("sensitivity");
  const view = { start: 0, stop: seconds, at: 0, page: 10, sensitivity: 7 };
  let colours = {};
  const LEFT = 74, RIGHT = 12;

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["ink", "muted", "line", "accent", "paper", "wash", "grey", "doubt"]) colours[name] = style.getPropertyValue(`--${name}`).trim();
  }

  function prepared(canvas) {
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, height);
    pen.font = '12px system-ui, "Segoe UI", Arial, "DejaVu Sans", sans-serif';
    pen.textBaseline = "middle";
    return { pen, width, height };
  }

  const two = (number) => String(number).padStart(2, "0");
  function elapsed(time, tenths) {
    const whole = tenths ? Math.floor(time) : Math.round(time);
    const text = `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
    return tenths ? `${text}.${Math.floor((time - whole) * 10)}` : text;
  }
  function clock(time) {
    if (!data.begun) return elapsed(time);
    // The clock is the recording's own, of no zone: it is reckoned as if it were UTC.
    const date = new Date(Date.parse(`${data.begun.slice(0, 23)}Z`) + time * 1000);
    return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  }
  const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const stepFor = (span, places) => STEPS.find((step) => span / step <= places) || 86400;
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

  function timeAxis(pen, left, right, y, height, start, stop, label) {
    const step = stepFor(stop - start, (right - left) / 90);
    pen.fillStyle = colours.muted;
    pen.strokeStyle = colours.line;
    pen.textAlign = "center";
    for (let time = Math.ceil(start / step) * step; time <= stop; time += step) {
      const x = left + ((time - start) / (stop - start)) * (right - left);
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(x, y + 5);
      pen.stroke();
      if (x > left + 20 && x < right - 20) pen.fillText(clock(time), x, y + height / 2 + 3);
    }
    pen.textAlign = "right";
    pen.fillText(label, left - 6, y + height / 2 + 3);
  }

  // ---- the whole recording

  const ROWS = [];
  (() => {
    let y = 6;
    const row = (name, height, gap) => { ROWS.push({ name, y, height }); y += height + gap; };
    row("shares", 130, 8);
    row("state", 20, 8);
    if (tellsDoubt) row("doubt", 34, 8);
    for (const region of data.regions) row(region, 64, 4);
    y += 4;
    row("quality", 12, 4);
    row("time", 24, 0);
    overview.style.height = `${y + 2}px`;
  })();
  const rowOf = (name) => ROWS.find((row) => row.name === name);
  let heat = null;

  function hatch(pen, x, y, width, height) {
    pen.save();
    pen.beginPath();
    pen.rect(x, y, width, height);
    pen.clip();
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 1.2;
    pen.beginPath();
    for (let at = Math.floor((x - height) / 6) * 6; at < x + width; at += 6) {
      pen.moveTo(at, y + height);
      pen.lineTo(at + height, y);
    }
    pen.stroke();
    pen.restore();
  }

  // Dark blue over green to yellow, even in lightness.
  const RAMP = [[13, 20, 56], [38, 71, 120], [30, 116, 133], [58, 160, 116], [146, 196, 80], [248, 228, 92]];
  function ramp(value) {
    const at = value * (RAMP.length - 1), low = Math.min(RAMP.length - 2, Math.floor(at)), part = at - low;
    return RAMP[low].map((one, k) => Math.round(one + part * (RAMP[low + 1][k] - one)));
  }
  const TABLE = Array.from({ length: 255 }, (_, value) => ramp(value / 254));

  function heatOf() {
    // One picture for each region, drawn once; the browser scales it.
    return data.regions.map((_, region) => {
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, nColumns);
      canvas.height = data.rows;
      const pen = canvas.getContext("2d"), picture = pen.createImageData(canvas.width, canvas.height);
      for (let row = 0; row < data.rows; row++) {
        for (let column = 0; column < nColumns; column++) {
          const value = spectrogram[(region * data.rows + row) * nColumns + column];
          const place = 4 * ((data.rows - 1 - row) * canvas.width + column);
          if (value !== data.nothing) picture.data.set([...TABLE[value], 255], place);
        }
      }
      pen.putImageData(picture, 0, 0);
      return canvas;
    });
  }

  function drawOverview() {
    const { pen, width, height } = prepared(overview);
    const left = LEFT, right = width - RIGHT, span = view.stop - view.start;
    const xOf = (time) => left + ((time - view.start) / span) * (right - left);
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, right - left, height);
    pen.clip();
    const first = clamp(Math.floor(view.start / binSeconds), 0, nBins), last = clamp(Math.ceil(view.stop / binSeconds), 0, nBins);
    const share = rowOf("shares"), state = rowOf("state"), good = rowOf("quality"), unsure = rowOf("doubt");
    pen.fillStyle = colours.grey;
    for (const row of unsure ? [share, state, unsure] : [share, state]) pen.fillRect(xOf(0), row.y, xOf(seconds) - xOf(0), row.height);
    // Where bins are narrower than a pixel, a column shows the mean of those in it, and the state that most have.
    const perColumn = Math.max(1, Math.floor((last - first) / (right - left)));
    for (let bin = first; bin < last; bin += perColumn) {
      const end = Math.min(bin + perColumn, last), x = xOf(bin * binSeconds), wide = Math.max(xOf(Math.min(end * binSeconds, seconds)) - x, 0.5) + 0.4;
      const counts = new Array(nClasses + 2).fill(0), mean = new Array(nClasses).fill(0);
      let known = 0, best = 0, judged = 0, doubted = 0, told = 0;
      for (let k = bin; k < end; k++) {
        counts[binStates[k]]++;
        if (shares[k * nClasses] !== data.nothing) {
          known++;
          for (let c = 0; c < nClasses; c++) mean[c] += shares[k * nClasses + c];
        }
        if (doubt[k] !== data.nothing) { doubted += doubt[k]; told++; }
        if (quality[k] !== data.nothing) { best += quality[k]; judged++; }
      }
      if (known) {
        const total = mean.reduce((a, b) => a + b, 0);
        let y = share.y + share.height;
        for (let c = nClasses - 1; c >= 0; c--) {
          const tall = (mean[c] / total) * share.height;
          pen.fillStyle = data.colours[c];
          pen.fillRect(x, y - tall, wide, tall + 0.4);
          y -= tall;
        }
      }
      const leading = counts.indexOf(Math.max(...counts));
      if (leading < nClasses) {
        pen.fillStyle = data.colours[leading];
        pen.fillRect(x, state.y, wide, state.height);
      } else if (leading === DOUBTFUL) {
        pen.fillStyle = colours.paper;
        pen.fillRect(x, state.y, wide, state.height);
        hatch(pen, x, state.y, wide, state.height);
      }
      if (unsure && told) {
        const part = doubted / told / 254;
        pen.fillStyle = colours.paper;
        pen.fillRect(x, unsure.y, wide, unsure.height);
        pen.fillStyle = colours.doubt;
        pen.fillRect(x, unsure.y + unsure.height * (1 - part), wide, unsure.height * part);
      }
      if (judged) {
        const part = best / judged / 254;
        pen.fillStyle = part >= 0.9 ? "#009e73" : part >= 0.6 ? "#e69f00" : "#d55e00";
        pen.fillRect(x, good.y + good.height * (1 - part), wide, good.height * part);
      }
    }
    if (unsure) {
      const y = unsure.y + unsure.height * (1 - data.limit);
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 1;
      pen.setLineDash([5, 3]);
      pen.beginPath();
      pen.moveTo(xOf(0), y);
      pen.lineTo(xOf(seconds), y);
      pen.stroke();
      pen.setLineDash([]);
    }
    heat = heat || heatOf();
    pen.imageSmoothingEnabled = false;
    data.regions.forEach((region, k) => {
      const row = rowOf(region);
      pen.fillStyle = colours.wash;
      pen.fillRect(left, row.y, right - left, row.height);
      if (nColumns) pen.drawImage(heat[k], xOf(0), row.y, xOf(nColumns * data.columnSeconds) - xOf(0), row.height);
    });
    const from = xOf(view.at), to = Math.max(xOf(view.at + view.page), from + 2);
    pen.fillStyle = colours.ink;
    pen.globalAlpha = 0.18;
    pen.fillRect(from, 0, to - from, height - 24);
    pen.globalAlpha = 1;
    pen.strokeStyle = colours.ink;
    pen.strokeRect(from, 0.5, to - from, height - 25);
    pen.restore();
    pen.textAlign = "right";
    pen.fillStyle = colours.muted;
    pen.fillText("share", left - 6, share.y + share.height / 2);
    pen.fillText("1", left - 6, share.y + 6);
    pen.fillText("0", left - 6, share.y + share.height - 6);
    pen.fillText("state", left - 6, state.y + state.height / 2);
    if (unsure) {
      pen.fillText("doubt", left - 20, unsure.y + unsure.height / 2);
      pen.fillText("1", left - 6, unsure.y + 6);
      pen.fillText("0", left - 6, unsure.y + unsure.height - 6);
    }
    pen.fillText("quality", left - 6, good.y + good.height / 2);
    for (const region of data.regions) {
      const row = rowOf(region);
      pen.fillText(region, left - 40, row.y + row.height / 2);
      pen.fillText("20 Hz", left - 6, row.y + 7);
      pen.fillText("0", left - 6, row.y + row.height - 7);
    }
    const axis = rowOf("time");
    timeAxis(pen, left, right, axis.y, axis.height, view.start, view.stop, data.begun ? "clock" : "h:mm:ss");
  }

  // ---- EEG

  const decoded = new Float32Array(256);
  for (let value = -127; value <= 127; value++) {
    decoded[value + 128] = Math.sign(value) * data.knee * (Math.exp((Math.abs(value) / 127) * Math.log1p(data.top / data.knee)) - 1);
  }
  const GAPS = { 4: 1, 8: 1, 12: 1, 16: 1 };

  function drawEeg() {
    const { pen, width, height } = prepared(eeg);
    const left = LEFT, right = width - RIGHT, top = 14, bottom = height - 30;
    const start = view.at, stop = view.at + view.page;
    const xOf = (time) => left + ((time - start) / view.page) * (right - left);
    const places = [];
    let place = 0;
    for (let k = 0; k < nChannels; k++) {
      if (GAPS[k]) place += 0.6;
      places.push(place);
      place += 1;
    }
    const apart = (bottom - top) / place, perMicrovolt = 96 / 25.4 / view.sensitivity;
    pen.lineWidth = 1;
    pen.strokeStyle = colours.line;
    const every = stepFor(view.page, 12);
    for (let time = Math.ceil(start / every) * every; time <= stop; time += every) {
      pen.beginPath();
      pen.moveTo(xOf(time), 0);
      pen.lineTo(xOf(time), bottom);
      pen.stroke();
    }
    const detail = details.find((one) => one.start <= start + 0.01 && one.start + one.length / data.rate >= Math.min(stop, seconds) - 0.51);
    let anything = false;
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, right - left, bottom);
    pen.clip();
    for (let k = 0; k < nChannels; k++) {
      const y = top + (places[k] + 0.5) * apart;
      pen.strokeStyle = k >= 16 ? colours.muted : (k >> 2) % 2 ? "#c0392b" : colours.accent;
      pen.fillStyle = pen.strokeStyle;
      if (detail) {
        const from = Math.max(0, Math.floor((start - detail.start) * data.rate)), to = Math.min(detail.length, Math.ceil((stop - detail.start) * data.rate) + 1);
        pen.beginPath();
        let down = false;
        for (let at = from; at < to; at++) {
          const second = Math.floor(detail.start + at / data.rate);
          // What was not recorded is no line of zeros.
          if (envelope[2 * (k * nSeconds + second)] === data.envelopeNothing) { down = false; continue; }
          const x = xOf(detail.start + at / data.rate), value = y - detail.values[k * detail.length + at] * data.step * perMicrovolt;
          if (down) pen.lineTo(x, value); else pen.moveTo(x, value);
          down = anything = true;
        }
        pen.stroke();
      } else {
        for (let second = Math.max(0, Math.floor(start)); second < Math.min(nSeconds, stop); second++) {
          const place = 2 * (k * nSeconds + second);
          if (envelope[place] === data.envelopeNothing) continue;
          anything = true;
          const low = decoded[envelope[place] + 128], high = decoded[envelope[place + 1] + 128];
          pen.globalAlpha = 0.45;
          pen.fillRect(xOf(second) + 0.5, y - high * perMicrovolt, Math.max(xOf(second + 1) - xOf(second) - 1, 0.6), Math.max((high - low) * perMicrovolt, 1));
          pen.globalAlpha = 1;
        }
      }
    }
    pen.restore();
    pen.textAlign = "right";
    pen.fillStyle = colours.ink;
    for (let k = 0; k < nChannels; k++) pen.fillText(data.channels[k], left - 6, top + (places[k] + 0.5) * apart);
    if (!anything) {
      pen.textAlign = "center";
      pen.fillText("not recorded here", (left + right) / 2, (top + bottom) / 2);
    } else if (!detail) {
      pen.textAlign = "right";
      pen.fillStyle = colours.muted;
      pen.fillText("least and greatest value of every second", right - 4, 8);
    }
    // Bars: a second and 100 µV.
    const tall = 100 * perMicrovolt, wide = (right - left) / view.page;
    pen.strokeStyle = colours.ink;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(right - 10, bottom - 6 - tall);
    pen.lineTo(right - 10, bottom - 6);
    pen.lineTo(right - 10 - Math.min(wide, right - left - 20), bottom - 6);
    pen.stroke();
    pen.fillStyle = colours.ink;
    pen.textAlign = "right";
    pen.fillText("100 µV", right - 15, bottom - 6 - Math.min(tall, bottom - 30) / 2 - 4);
    pen.fillText("1 s", right - 15, bottom - 16);
    timeAxis(pen, left, right, bottom, 26, start, stop, data.begun ? "clock" : "h:mm:ss");
  }

  // ---- what happens on a touch of mouse or key

  let waiting = false;
  function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawOverview(); drawEeg(); });
  }

  function tell(time) {
    const bin = Math.floor(time / binSeconds);
    if (bin < 0 || bin >= nBins) return;
    let text = `${elapsed(time)}${data.begun ? `, ${clock(time)}` : ""}: ${data.states[binStates[bin]]}`;
    if (shares[bin * nClasses] !== data.nothing) {
      text += ` (${data.classes.map((name, c) => `${name} ${(shares[bin * nClasses + c] / 254).toFixed(2)}`).join(", ")})`;
    }
    if (doubt[bin] !== data.nothing) {
      const held = data.classes.map((_, c) => c).filter((c) => (sets[bin] >> c) & 1);
      held.sort((a, b) => shares[bin * nClasses + b] - shares[bin * nClasses + a]);
      text += `; doubt ${(doubt[bin] / 254).toFixed(2)}, set ${held.map((c) => data.classes[c]).join(" | ")}`;
    }
    read.textContent = text;
  }

  function show(time) {
    view.at = clamp(time, 0, Math.max(0, seconds - view.page));
    if (view.at < view.start || view.at + view.page > view.stop) look(view.at + view.page / 2 - (view.stop - view.start) / 2, view.stop - view.start);
    tell(view.at + view.page / 2);
    draw();
  }

  function look(start, span) {
    span = clamp(span, Math.min(60, seconds), seconds);
    view.start = clamp(start, 0, seconds - span);
    view.stop = view.start + span;
    draw();
  }

  const timeAt = (event) => {
    const box = overview.getBoundingClientRect();
    return view.start + ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * (view.stop - view.start);
  };

  overview.addEventListener("wheel", (event) => {
    event.preventDefault();
    const time = timeAt(event), factor = Math.exp(event.deltaY * 0.0015), span = clamp((view.stop - view.start) * factor, Math.min(60, seconds), seconds);
    look(time - ((time - view.start) * span) / (view.stop - view.start), span);
  }, { passive: false });

  function draggable(canvas, moved, clicked) {
    let begin = null;
    canvas.addEventListener("pointerdown", (event) => { begin = { x: event.clientX, moved: false, ...view }; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!begin) return;
      const by = event.clientX - begin.x;
      if (Math.abs(by) > 3) begin.moved = true;
      if (begin.moved) moved(by, begin);
    });
    canvas.addEventListener("pointerup", (event) => { if (begin && !begin.moved) clicked(event); begin = null; });
    canvas.addEventListener("pointercancel", () => { begin = null; });
  }
  draggable(overview, (by, begin) => {
    const span = begin.stop - begin.start;
    look(begin.start - (by / (overview.clientWidth - LEFT - RIGHT)) * span, span);
  }, (event) => { show(timeAt(event) - view.page / 2); });
  overview.addEventListener("mousemove", (event) => { if (!event.buttons) tell(timeAt(event)); });
  draggable(eeg, (by, begin) => { show(begin.at - (by / (eeg.clientWidth - LEFT - RIGHT)) * view.page); }, () => {});

  function choose(select, by) {
    select.selectedIndex = clamp(select.selectedIndex + by, 0, select.options.length - 1);
    select.dispatchEvent(new Event("change"));
  }
  pageChoice.addEventListener("change", () => { view.page = Number(pageChoice.value); show(view.at); });
  sensitivityChoice.addEventListener("change", () => { view.sensitivity = Number(sensitivityChoice.value); draw(); });
  document.getElementById("back").addEventListener("click", () => show(view.at - view.page));
  document.getElementById("on").addEventListener("click", () => show(view.at + view.page));
  document.getElementById("whole").addEventListener("click", () => look(0, seconds));
  eeg.addEventListener("wheel", (event) => { event.preventDefault(); choose(pageChoice, Math.sign(event.deltaY)); }, { passive: false });

  function keys(canvas, table) {
    canvas.addEventListener("keydown", (event) => {
      const action = table[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
  keys(eeg, {
    ArrowLeft: () => show(view.at - view.page), ArrowRight: () => show(view.at + view.page),
    PageUp: () => show(view.at - view.page), PageDown: () => show(view.at + view.page),
    ArrowUp: () => choose(sensitivityChoice, -1), ArrowDown: () => choose(sensitivityChoice, 1),
    Home: () => show(0), End: () => show(seconds),
    "+": () => choose(pageChoice, -1), "-": () => choose(pageChoice, 1),
  });
  const around = (factor) => { const middle = view.at + view.page / 2, span = (view.stop - view.start) * factor; look(middle - span / 2, span); };
  keys(overview, {
    ArrowLeft: () => show(view.at - (view.stop - view.start) / 50), ArrowRight: () => show(view.at + (view.stop - view.start) / 50),
    "+": () => around(0.5), "-": () => around(2), Home: () => show(0), End: () => show(seconds), Enter: () => eeg.focus(),
  });

  const table = document.getElementById("segments"), alone = document.getElementById("patterns");
  table.addEventListener("click", (event) => {
    const at = event.target.dataset && event.target.dataset.at;
    if (at === undefined) return;
    show(bestOf(Number(at), Number(event.target.dataset.to)));
    eeg.scrollIntoView({ block: "center" });
  });
  // Where in a segment its waves are kept, or its beginning.
  function bestOf(start, stop) {
    const kept = details.find((one) => one.start < stop && one.start + one.length / data.rate > start);
    if (!kept || kept.length / data.rate >= seconds - 1) return start;
    const from = Math.max(kept.start, start), to = Math.min(kept.start + kept.length / data.rate, stop);
    return clamp((from + to - view.page) / 2, kept.start, Math.max(kept.start, kept.start + kept.length / data.rate - view.page));
  }
  const filter = () => table.classList.toggle("without-quiet", alone.checked);
  alone.addEventListener("change", filter);
  filter();

  const again = () => { readColours(); heat = null; draw(); };
  window.addEventListener("resize", draw);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) window.matchMedia(query).addEventListener("change", () => { readColours(); drawOverview(); drawEeg(); });
  window.addEventListener("beforeprint", () => { readColours(); drawOverview(); drawEeg(); });
  const firstPattern = data.segments.find(([, , state]) => state < nClasses - 1);
  again();
  show(firstPattern ? bestOf(firstPattern[0], firstPattern[0] + firstPattern[1]) : 0);
})();
