// What can be done with a source.
"use strict";

(() => {
  const place = document.getElementById("actions");
  const said = document.getElementById("said");
  place.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    said.textContent = "…";
    try {
      const answer = await fetch(`/api/sources/${place.dataset.source}/${button.dataset.action}`, { method: "POST" });
      const told = await answer.json();
      said.textContent = told.sentence || told.error || `the library answered ${answer.status}`;
    } catch {
      said.textContent = "the library does not answer; look whether sourcebound is up";
    }
  });
})();
