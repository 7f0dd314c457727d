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

function named(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

// Part by part, so that nothing a person is writing in is taken away when a new part comes.
function take(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    if (!named(fresh, part.dataset.part)) part.remove();
  }
  let before = null;
  for (const next of fresh.querySelectorAll("[data-part]")) {
    const part = named(document, next.dataset.part);
    const changed = next.outerHTML !== served.get(next.dataset.part);
    if (part && (!changed || part.contains(document.activeElement))) {
      before = part;
      continue;
    }
    remember(next);
    if (part) part.replaceWith(next);
    else before.after(next);
    before = next;
  }
}

async function refresh() {
  if (document.hidden) return true;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.title = fresh.title;
  take(fresh);
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
