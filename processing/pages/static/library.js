// The wall of all sources, search over them, and uploads that go on where they stopped.
"use strict";

(() => {
  const { element, clock, ask } = Page;
  const asked = JSON.parse(document.getElementById("asked").textContent);
  const one = (id) => document.getElementById(id);
  const says = one("says");
  const AGAIN_MS = 3000;

  // --- the wall ------------------------------------------------------------------------------------------------------

  const cards = new Map(); // by source: its element and what it shows
  let oldest = null;

  function card(source) {
    const page = `/s/${source.source}/`;
    const picture = source.has_picture ? [element("img", { src: `/s/${source.source}/picture`, alt: "", loading: "lazy" })] : [];
    const state = source.state.replaceAll("_", " ");
    return element(
      "li",
      { "data-source": source.source },
      element(
        "article",
        { class: "card" },
        element("a", { class: "shown", href: page, tabindex: -1, "aria-hidden": "true" }, ...picture),
        element(
          "div",
          { class: "told" },
          element("h2", {}, element("a", { href: page, text: source.title })),
          element("p", {}, element("span", { class: `badge state-${source.state}`, text: state }), ` ${source.kind || ""}`),
          ...(source.progress === null ? [] : [element("progress", { value: source.progress, max: 1, "aria-label": `${source.title}, share done` })]),
          ...(source.cause ? [element("p", { class: "faint", text: source.cause })] : []),
          element("p", {}, element("a", { href: `/s/${source.source}/about`, "aria-label": `why, history of ${source.title}`, text: "why, history" }))
        )
      )
    );
  }

  function show(sources, atTheEnd) {
    const wall = one("wall");
    const fresh = [];
    for (const source of sources) {
      const shown = JSON.stringify(source);
      const known = cards.get(source.source);
      if (known && known.shown === shown) continue;
      const made = card(source);
      if (known) {
        const hadFocus = known.made.contains(document.activeElement);
        known.made.replaceWith(made);
        if (hadFocus) made.querySelector("h2 a").focus();
      } else fresh.push(made);
      cards.set(source.source, { made, shown });
    }
    if (atTheEnd) wall.append(...fresh);
    else wall.prepend(...fresh);
  }

  function address(before) {
    const query = new URLSearchParams();
    if (asked.state) query.set("state", asked.state);
    if (asked.kind) query.set("kind", asked.kind);
    if (before) query.set("before", before);
    return `/api/sources?${query}`;
  }

  async function more() {
    const listing = await ask(address(oldest || asked.before));
    show(listing.sources, true);
    oldest = listing.next;
    one("more").hidden = !oldest;
    if (!cards.size) says.textContent = asked.state || asked.kind ? "No source is like that." : "Nothing is here yet. Add a file.";
  }

  async function look() {
    try {
      const listing = await ask(address(asked.before));
      show(listing.sources, false);
      if (cards.size) says.textContent = "";
    } catch (trouble) {
      says.textContent = trouble.message;
    }
    setTimeout(look, AGAIN_MS);
  }

  // --- search --------------------------------------------------------------------------------------------------------

  const KINDS = { transcript: "said", screen_text: "shown", summary: "summary", file: "file", picture: "picture" };

  async function find() {
    says.textContent = "Looking…";
    try {
      const { hits } = await ask(`/api/search?${new URLSearchParams({ q: asked.q })}`);
      one("hits").append(
        ...hits.map((hit) => {
          const at = hit.time_s === null ? "" : `#t=${hit.time_s}`;
          const label = hit.time_s === null ? hit.source : `${hit.source}, ${clock(hit.time_s)}`;
          return element(
            "li",
            {},
            element("span", { class: "badge", text: KINDS[hit.kind] || hit.kind }),
            " ",
            element("a", { href: `/s/${hit.source}/${at}`, text: label }),
            element("p", { text: hit.text, dir: "auto" })
          );
        })
      );
      const sources = new Set(hits.map((hit) => hit.source)).size;
      says.textContent = hits.length ? `In ${sources} ${sources === 1 ? "source" : "sources"}.` : "Nothing was found.";
    } catch (trouble) {
      says.textContent = trouble.message;
    }
  }

  // --- uploads -------------------------------------------------------------------------------------------------------

  function send(file) {
    const bar = element("progress", { max: 1, value: 0, "aria-label": `${file.name}, share sent` });
    const told = element("span", { text: "waits" });
    one("uploads").append(element("li", {}, element("span", { text: file.name }), " ", bar, " ", told));
    const upload = new window.tus.Upload(file, {
      endpoint: "/uploads",
      chunkSize: 32 << 20,
      retryDelays: [0, 1000, 3000, 5000, 10000, 20000, 30000],
      metadata: { filename: file.name },
      removeFingerprintOnSuccess: true,
      onProgress: (sent, whole) => {
        bar.value = whole ? sent / whole : 1;
        told.textContent = `${Math.floor((100 * sent) / (whole || 1))} %`;
      },
      onSuccess: () => {
        bar.value = 1;
        told.textContent = "arrived; it is taken in when it stands still";
      },
      onError: (trouble) => {
        const said = trouble.originalResponse && trouble.originalResponse.getBody();
        let sentence = "";
        try {
          sentence = JSON.parse(said).error;
        } catch {
          sentence = "the connection broke; drop it again, and it goes on from there";
        }
        told.textContent = sentence;
      },
    });
    upload.findPreviousUploads().then((before) => {
      if (before.length) upload.resumeFromPreviousUpload(before[0]);
      upload.start();
    });
  }

  function uploads() {
    const input = one("files");
    if (!input) return;
    input.addEventListener("change", () => {
      [...input.files].forEach(send);
      input.value = "";
    });
    const isFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
    document.addEventListener("dragover", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      document.body.classList.add("over");
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) document.body.classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      document.body.classList.remove("over");
      [...event.dataTransfer.files].forEach(send);
    });
  }

  if (asked.q) find();
  else {
    uploads();
    one("more").addEventListener("click", () => more().catch((trouble) => (says.textContent = trouble.message)));
    more()
      .catch((trouble) => (says.textContent = trouble.message))
      .finally(() => setTimeout(look, AGAIN_MS));
  }
})();
