// Reads the page again every few seconds and replaces the parts that changed. Focus and scroll stay.
"use strict";
const EVERY_MS = 2500;
const status = document.querySelector("[data-status]");

// As it was served: what a person has opened or written meanwhile is no change.
const served = new Map();
function remember(part) {
  served.set(part.dataset.part, part.outerHTML);
}
document.querySelectorAll("[data-part]").forEach(remember);

function take(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!next) part.remove();
    else if (next.outerHTML !== served.get(part.dataset.part) && !part.contains(document.activeElement)) {
      remember(next);
      part.replaceWith(next);
    }
  }
}

function outline(root) {
  return [...root.querySelectorAll("[data-part]")].map((part) => part.dataset.part).join();
}

async function refresh() {
  if (document.hidden) return true;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = fresh.title;
  if (outline(fresh) !== outline(document)) {
    document.querySelector("main").replaceWith(fresh.querySelector("main")); // a new part has come
    document.querySelectorAll("[data-part]").forEach(remember);
  } else {
    take(fresh);
  }
  return fresh.body.hasAttribute("data-live");
}

async function loop() {
  let live = true;
  try {
    live = await refresh();
    status.textContent = live ? "live" : "final";
    status.classList.remove("lost");
  } catch {
    status.textContent = "no answer, trying again";
    status.classList.add("lost");
  }
  if (live) setTimeout(loop, EVERY_MS);
}

setTimeout(loop, EVERY_MS);
