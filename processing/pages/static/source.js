// What can be done with a source.
"use strict";

(() => {
  const place = document.getElementById("actions");
  const said = document.getElementById("said");
  place.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    said.textContent = "…";
    const address = `/api/sources/${place.dataset.source}/${button.dataset.action}`;
    said.textContent = await Page.ask(address, { method: "POST" }).then(
      (told) => told.sentence,
      (trouble) => trouble.message
    );
  });
})();
