// What the scripts of all pages share.
"use strict";

const Page = (() => {
  // An element with attributes; `text` is its text, `onclick` and the like are listeners, false and null are left out.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") made.textContent = value;
      else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  function clock(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const hours = Math.floor(whole / 3600);
    const minutes = String(Math.floor(whole / 60) % 60);
    const rest = String(whole % 60).padStart(2, "0");
    return hours ? `${hours}:${minutes.padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }

  // What the library answers to a request, as JSON; its sentence as an error where it refuses.
  async function ask(path, options = {}) {
    const headers = { Accept: "application/json", ...options.headers };
    const answer = await fetch(path, { ...options, headers }).catch(() => {
      throw new Error("the library does not answer; look whether sourcebound is up");
    });
    const told = await answer.json().catch(() => ({ error: `the library answered ${answer.status}` }));
    if (!answer.ok) throw new Error(told.error || `the library answered ${answer.status}`);
    return told;
  }

  return { element, clock, ask };
})();
