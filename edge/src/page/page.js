// Keeps the page live. Without it the page is the same and is loaded anew by hand.
"use strict";

const offline = document.getElementById("offline");

function put(text) {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const shown = new Set();
  for (const part of fresh.querySelectorAll("[data-live]")) {
    shown.add(part.id);
    const old = document.getElementById(part.id);
    // What somebody is about to press stays where it is.
    if (old && old.outerHTML !== part.outerHTML && !old.contains(document.activeElement)) {
      old.replaceWith(document.importNode(part, true));
    }
  }
}

async function look() {
  try {
    const answer = await fetch("/live", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) {
      location.reload();
      return;
    }
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    put(await answer.text());
    offline.hidden = true;
  } catch {
    offline.hidden = false;
  }
  setTimeout(look, 2000);
}

if (offline) {
  setTimeout(look, 2000);
}
