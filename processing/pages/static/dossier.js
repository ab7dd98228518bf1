// The page of one source: a player and all that is known along its timeline.
// Times in the data are milliseconds; players count seconds.
"use strict";

(() => {
  const { element, clock, ask } = Page;
  const D = JSON.parse(document.getElementById("data").textContent);
  const player = document.getElementById("player");
  const length = (D.duration_ms || 0) / 1000;
  const served = location.protocol.startsWith("http");
  const one = (id) => document.getElementById(id);

  // The last number of a rising list that is not above a value; -1 before the first.
  function lastUpTo(list, value, of = (item) => item) {
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (of(list[middle]) <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  const followers = []; // called with the time in seconds whenever it moves

  function seek(seconds, { play = false } = {}) {
    if (!player) return;
    const to = Math.min(Math.max(0, seconds), Math.max(0, (length || player.duration || 0) - 0.05));
    player.currentTime = to;
    if (play) player.play().catch(() => {});
    tell(to);
  }

  function tell(seconds) {
    for (const follow of followers) follow(seconds);
  }

  function timeButton(seconds, label = clock(seconds)) {
    return element("button", { type: "button", class: "time", text: label, onclick: () => seek(seconds, { play: true }) });
  }

  // --- playing -------------------------------------------------------------------------------------------------------

  function openFile() {
    player.src = D.play.file || D.play.sound[0];
  }

  function open() {
    const adaptive = served && D.play.hls && window.Hls && window.Hls.isSupported();
    if (!adaptive) return openFile();
    const hls = new window.Hls({ renderTextTracksNatively: false, enableWorker: true });
    hls.subtitleDisplay = false; // cues are in the page already
    hls.on(window.Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      const at = player.currentTime;
      hls.destroy();
      openFile();
      player.currentTime = at;
    });
    hls.on(window.Hls.Events.AUDIO_TRACKS_UPDATED, () => chooseSound(hls));
    hls.loadSource(D.play.hls);
    hls.attachMedia(player);
    return undefined;
  }

  function chooseSound(hls) {
    const select = one("sound-track");
    if (!select || hls.audioTracks.length < 2) return;
    select.replaceChildren(
      ...hls.audioTracks.map((track, number) =>
        element("option", { value: number, text: track.name || track.lang || `Track ${number + 1}`, selected: number === hls.audioTrack })
      )
    );
    select.onchange = () => {
      hls.audioTrack = Number(select.value);
    };
    select.closest("label").hidden = false;
  }

  function addTexts() {
    const select = one("text-track");
    if (!select || !D.texts.length) return;
    const tracks = D.texts.map((text) => {
      const track = player.addTextTrack("captions", text.label, text.language || "");
      for (const [start, end, words] of text.cues) {
        if (end > start) track.addCue(new VTTCue(start / 1000, end / 1000, words));
      }
      track.mode = "disabled";
      return track;
    });
    select.append(
      element("option", { value: -1, text: "off" }),
      ...D.texts.map((text, number) =>
        element("option", { value: number, text: text.language ? `${text.label} (${text.language})` : text.label })
      )
    );
    select.onchange = () => {
      tracks.forEach((track, number) => {
        track.mode = number === Number(select.value) ? "showing" : "disabled";
      });
    };
    select.closest("label").hidden = false;
  }

  // --- the timeline --------------------------------------------------------------------------------------------------

  function timeline() {
    const line = one("timeline");
    if (!line || !length) return;
    const canvas = line.querySelector("canvas");
    const head = line.querySelector(".playhead");
    const peek = one("peek");

    function draw() {
      const wide = line.clientWidth;
      const high = line.clientHeight;
      const scale = window.devicePixelRatio || 1;
      canvas.width = wide * scale;
      canvas.height = high * scale;
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      const style = getComputedStyle(line);
      if (D.wave) {
        pen.fillStyle = style.getPropertyValue("--wave");
        D.wave.peaks.forEach((peak, number) => {
          const x = ((number * D.wave.step_ms) / 1000 / length) * wide;
          const tall = Math.max(1, (peak / 1000) * (high - 8));
          pen.fillRect(x, (high - tall) / 2, Math.max(1, (D.wave.step_ms / 1000 / length) * wide - 0.2), tall);
        });
      }
      if (D.loudness && D.loudness.tenths.length) {
        pen.strokeStyle = style.getPropertyValue("--loud");
        pen.lineWidth = 1.5;
        pen.beginPath();
        let down = false;
        D.loudness.tenths.forEach((tenths, number) => {
          if (tenths === null) {
            down = false;
            return;
          }
          const x = (((number + 0.5) * D.loudness.step_ms) / 1000 / length) * wide;
          const y = high - 4 - Math.min(1, Math.max(0, (tenths / 10 + 60) / 60)) * (high - 8); // -60 LUFS to 0
          if (down) pen.lineTo(x, y);
          else pen.moveTo(x, y);
          down = true;
        });
        pen.stroke();
      }
      pen.fillStyle = style.getPropertyValue("--mark");
      for (const chapter of (D.summary && D.summary.chapters) || []) {
        pen.fillRect((chapter.start / 1000 / length) * wide, 0, 1.5, high);
      }
    }

    function at(event) {
      const box = line.getBoundingClientRect();
      return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * length;
    }

    function show(seconds, x) {
      const board = D.storyboard;
      const still = peek.querySelector(".still");
      peek.querySelector(".when").textContent = clock(seconds);
      still.hidden = !board;
      if (board) {
        const number = Math.max(0, lastUpTo(board.starts, seconds * 1000));
        const [sheet, left, top] = board.places[number];
        const { file, size } = board.sheets[sheet];
        const shrink = 160 / board.tile[0];
        still.style.width = "160px";
        still.style.height = `${board.tile[1] * shrink}px`;
        still.style.backgroundImage = `url("${file}")`;
        still.style.backgroundPosition = `${-left * shrink}px ${-top * shrink}px`;
        still.style.backgroundSize = `${size[0] * shrink}px ${size[1] * shrink}px`;
        still.dataset.tile = number;
      }
      peek.hidden = false;
      const wide = peek.offsetWidth;
      peek.style.left = `${Math.min(Math.max(0, x - wide / 2), line.clientWidth - wide)}px`;
    }

    line.addEventListener("pointermove", (event) => show(at(event), event.clientX - line.getBoundingClientRect().left));
    line.addEventListener("pointerleave", () => {
      peek.hidden = true;
    });
    line.addEventListener("click", (event) => seek(at(event)));
    const steps = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -60, PageUp: 60 };
    line.addEventListener("keydown", (event) => {
      const now = player ? player.currentTime : 0;
      let to = event.key in steps ? now + steps[event.key] : null;
      if (event.key === "Home") to = 0;
      if (event.key === "End") to = length;
      if (event.key === " " || event.key === "Enter") {
        if (player.paused) player.play().catch(() => {});
        else player.pause();
        event.preventDefault();
      }
      if (to === null) return;
      event.preventDefault();
      seek(to);
    });
    followers.push((seconds) => {
      head.style.left = `${(Math.min(seconds, length) / length) * 100}%`;
      line.setAttribute("aria-valuenow", seconds.toFixed(1));
      line.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(length)}`);
    });
    draw();
    new ResizeObserver(draw).observe(line);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  function shots() {
    const strip = one("shots");
    const list = D.shots.list;
    if (!strip || !list.length) return;
    const buttons = list.map(([start, , still], number) => {
      const source = D.shots.folder + still;
      const picture = still ? [element("img", { src: source, alt: "", loading: "lazy", decoding: "async" })] : [];
      const label = element("span", { class: "when", text: clock(start / 1000) });
      return element(
        "button",
        { type: "button", "aria-label": `Shot ${number + 1}, at ${clock(start / 1000)}`, onclick: () => seek(start / 1000) },
        ...picture,
        label
      );
    });
    strip.append(...buttons.map((button) => element("li", {}, button)));
    let current = null;
    followers.push((seconds) => {
      const number = lastUpTo(list, seconds * 1000 + 1, (shot) => shot[0]);
      const next = number < 0 ? null : buttons[number];
      if (next === current) return;
      if (current) current.removeAttribute("aria-current");
      if (next) {
        next.setAttribute("aria-current", "true");
        if (one("follow").checked) strip.scrollTo({ left: next.offsetLeft - strip.clientWidth / 2 });
      }
      current = next;
    });
  }

  // --- words ---------------------------------------------------------------------------------------------------------

  function transcript() {
    const place = one("transcript-text");
    if (!place) return;
    const spoken = []; // every word or segment with a time: [ms, element]
    for (const track of D.transcript) {
      const texts = track.segments.map(([start, , words, after, sureness]) => {
        const line = element("p", { lang: track.language || null }, timeButton(start / 1000), " ");
        let at = start;
        words.split(" ").forEach((word, number) => {
          const sure = sureness ? sureness[number] : "-";
          const span = element("span", { class: sure !== "-" && Number(sure) < 4 ? "word unsure" : "word", text: word });
          if (after) {
            at += 10 * after[number];
            span.dataset.at = at;
            if (track === D.transcript[0]) spoken.push([at, span]);
          }
          line.append(span, " ");
        });
        if (!after && track === D.transcript[0]) spoken.push([start, line]);
        line.dataset.at = start;
        return line;
      });
      if (D.transcript.length > 1) place.append(element("h4", { text: `Track ${track.track + 1}` }));
      place.append(...texts);
    }
    place.addEventListener("click", (event) => {
      const word = event.target.closest("[data-at]");
      if (word && !event.target.closest("button")) seek(Number(word.dataset.at) / 1000);
    });
    spoken.sort((a, b) => a[0] - b[0]);
    let current = null;
    followers.push((seconds) => {
      const number = lastUpTo(spoken, seconds * 1000 + 1, (each) => each[0]);
      const next = number < 0 ? null : spoken[number][1];
      if (next === current) return;
      if (current) current.classList.remove("now");
      if (next) {
        next.classList.add("now");
        if (one("follow").checked) {
          const line = next.closest("p");
          place.scrollTo({ top: line.offsetTop - place.offsetTop - place.clientHeight / 3 });
        }
      }
      current = next;
    });
  }

  function cites(list) {
    return list.slice(0, 3).map(([start]) => timeButton(start / 1000));
  }

  function summary() {
    if (!D.summary) return;
    const { abstract, chapters, keywords } = D.summary;
    one("abstract").append(
      ...abstract.map((each) => element("p", {}, each.text, " ", ...cites(each.cites).flatMap((button) => [button, " "])))
    );
    const items = chapters.map((chapter) =>
      element("li", {}, timeButton(chapter.start / 1000), " ", element("span", { text: chapter.title }))
    );
    one("chapters").append(...items);
    one("keywords").append(
      ...keywords.map((each) =>
        element("li", {}, element("button", { type: "button", text: each.text, onclick: () => seek(each.cites[0][0] / 1000, { play: true }) }))
      )
    );
    followers.push((seconds) => {
      const number = lastUpTo(chapters, seconds * 1000 + 1, (chapter) => chapter.start);
      items.forEach((item, each) => item.classList.toggle("now", each === number));
    });
  }

  function screen() {
    const place = one("screen-text");
    const layer = one("boxes");
    if (!place || !D.screen) return;
    const [wide, high] = D.screen.size;
    place.append(
      ...D.screen.lines.map(([start, , text]) => {
        const when = start === null ? [] : [timeButton(start / 1000), " "];
        return element("li", {}, ...when, element("span", { text, dir: "auto" }));
      })
    );
    if (D.screen.left_out) place.append(element("li", { text: `and ${D.screen.left_out} more` }));
    if (!layer) return;
    layer.setAttribute("viewBox", `0 0 ${wide} ${high}`);
    const draw = (lines) =>
      layer.replaceChildren(
        ...lines.map(([, , , box]) => {
          const shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
          shape.setAttribute("points", box.join(" "));
          return shape;
        })
      );
    const follow = (seconds) => {
      const ms = seconds * 1000;
      const wanted = one("show-boxes").checked;
      draw(wanted ? D.screen.lines.filter(([start, end]) => start === null || (start <= ms && ms < end)) : []);
    };
    one("show-boxes").addEventListener("change", () => follow(player ? player.currentTime : 0));
    followers.push(follow);
    follow(0);
  }

  function labels() {
    const place = one("labels-list");
    if (!place || !D.labels) return;
    place.append(
      ...D.labels.labels.map((label) => {
        const times = label.at.filter((at) => at !== null).slice(0, 5);
        return element("li", {}, element("span", { text: label.name }), " ", ...times.flatMap((at) => [timeButton(at / 1000), " "]));
      })
    );
  }

  // --- correcting words ----------------------------------------------------------------------------------------------

  const NAME = "sourcebound.name"; // of who corrects, kept in this browser
  const AGAIN_MS = 2000;
  const LOOKS = 300; // ten minutes

  function correcting(source, panel) {
    const asset = panel.dataset.asset;
    const address = `/api/sources/${source}/words/${asset}`;
    const said = element("p", { role: "status" });
    const begin = element("button", { type: "button", text: `Correct the ${asset}`, onclick: () => edit().catch(tell) });
    const tell = (trouble) => (said.textContent = trouble.message);
    panel.append(begin, said);
    panel.hidden = false;

    async function edit() {
      said.textContent = "";
      const words = await ask(address);
      const places = words.places.map((place) => {
        const label = `${place.place.split("/")[0]} from ${clock(place.start_s)}`;
        const text = element("textarea", { rows: 1 + Math.floor(place.text.length / 60), "aria-label": label, dir: "auto" });
        text.value = place.text;
        const was = place.was === null ? [] : [element("p", { class: "faint", text: `${place.author} corrected: ${place.was}` })];
        return { place, text, item: element("li", {}, timeButton(place.start_s), text, ...was) };
      });
      const name = element("input", { type: "text", maxlength: 80, required: true, autocomplete: "name" });
      name.value = remembered();
      const leave = element("button", { type: "button", text: "Leave it", onclick: close });
      const form = element(
        "form",
        { class: "correct", "aria-label": `Correct the ${asset}` },
        element("p", {}, element("label", {}, "Your name ", name)),
        element("ol", { class: "plain reading" }, ...places.map(({ item }) => item)),
        element(
          "p",
          { class: "row" },
          element("button", { text: "Save corrections", value: "save" }),
          " ",
          element("button", { text: "Accept as it is", value: "accept" }),
          " ",
          ...(words.review === "unreviewed" ? [] : [element("button", { text: "Take all back", value: "withdraw" }), " "]),
          leave
        )
      );
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const changed = places.filter(({ place, text }) => text.value !== place.text);
        const texts = Object.fromEntries(changed.map(({ place, text }) => [place.place, text.value]));
        const wish = event.submitter ? event.submitter.value : "save";
        const accepts = wish === "accept";
        if (wish === "withdraw") send({ author: name.value, version: words.version, withdrawn: true }).then(close).catch(tell);
        else if (accepts && changed.length) said.textContent = "Texts were changed: save them, or leave it and begin again.";
        else if (!accepts && !changed.length) said.textContent = "No text was changed.";
        else send({ author: name.value, version: words.version, texts }).then(close).catch(tell);
      });

      function close() {
        form.remove();
        begin.hidden = false;
        begin.focus();
      }

      begin.hidden = true;
      panel.append(form);
      name.focus();
    }

    async function send(review) {
      remember(review.author);
      const before = await page();
      const headers = { "Content-Type": "application/json" };
      const told = await ask(address, { method: "POST", headers, body: JSON.stringify(review) });
      said.textContent = `${told.sentence[0].toUpperCase()}${told.sentence.slice(1)}.`;
      setTimeout(() => watch(before, LOOKS), AGAIN_MS);
    }

    async function page() {
      return (await ask(`/api/sources/${source}`)).assets.dossier.recipe_hash;
    }

    // When the page was made anew it can be looked at.
    async function watch(before, looks) {
      const now = await page().catch(() => before);
      if (now === before && looks) setTimeout(() => watch(before, looks - 1), AGAIN_MS);
      else if (now !== before) said.append(" ", element("button", { type: "button", text: "Show the new page", onclick: () => location.reload() }));
    }
  }

  function remembered() {
    try {
      return localStorage.getItem(NAME) || "";
    } catch {
      return "";
    }
  }

  function remember(name) {
    try {
      localStorage.setItem(NAME, name);
    } catch {
      // asked again next time
    }
  }

  // --- in the library ------------------------------------------------------------------------------------------------

  async function library() {
    const here = /^\/s\/([^/]+)\/$/.exec(location.pathname);
    if (!served || !here) return;
    one("library").hidden = false;
    for (const place of document.querySelectorAll(".review")) correcting(here[1], place);
    const told = await ask(`/api/sources/${here[1]}/explanation`);
    one("explained-broken").append(...told.broken.map((text) => element("li", { text })));
    const changed = told.changed.length ? told.changed : ["Nothing since it was first made."];
    one("explained-changed").append(...changed.map((text) => element("li", { text })));
    one("explained-next").append(
      ...told.next.map((look) => {
        const where = look.link ? [element("a", { href: look.link, rel: "noreferrer", text: "Open the run" })] : [];
        if (look.command) where.push(element("code", { text: look.command }));
        return element("li", {}, `${look.sentence} `, ...where);
      })
    );
    one("explained").hidden = false;
  }

  // --- start ---------------------------------------------------------------------------------------------------------

  function toHash() {
    const found = /^#t=([0-9.]+)$/.exec(location.hash);
    if (found) seek(Number(found[1]));
  }

  timeline();
  shots();
  transcript();
  summary();
  screen();
  labels();
  library().catch(() => {}); // the page says all it knows without it
  if (player) {
    addTexts();
    open();
    let frame = 0;
    const tick = () => {
      tell(player.currentTime);
      frame = player.paused ? 0 : requestAnimationFrame(tick);
    };
    player.addEventListener("play", () => {
      if (!frame) tick();
    });
    for (const event of ["seeked", "timeupdate", "loadedmetadata"]) {
      player.addEventListener(event, () => tell(player.currentTime));
    }
    player.addEventListener("loadedmetadata", toHash, { once: true });
    window.addEventListener("hashchange", toHash);
    tell(0);
  }
})();
