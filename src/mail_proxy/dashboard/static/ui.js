// Comfort only: every page works without this script.
const main = document.querySelector("#main");
const REFRESH_MS = 15000;

/** Show times in the browser's zone, with the UTC time beside. */
function localTimes(root) {
  const shown = new Intl.DateTimeFormat(document.documentElement.lang, {
    day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const utc = document.createElement("span");
    utc.className = "zone";
    utc.textContent = `\u00a0${at.toISOString().slice(11, 16)}\u00a0UTC`;
    time.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    time.replaceChildren(shown.format(at), utc);
    time.dataset.local = "";
  }
}

function copyButtons(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1500);
    });
  }
}

function prepare(root) {
  localTimes(root);
  copyButtons(root);
}

/** Fetch this page again and replace its live part, unless somebody is working in it. */
async function refresh() {
  const old = document.querySelector("[data-live]");
  if (!old) return location.reload();
  const response = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  const busy = old.contains(document.activeElement) || old.querySelector("details[open]");
  if (fresh && !busy) {
    prepare(fresh);
    old.replaceWith(fresh);
  }
}

function every(milliseconds) {
  setTimeout(async () => {
    if (!document.hidden) await refresh().catch(() => {});
    every(milliseconds);
  }, milliseconds);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    const field = document.querySelector("[data-find]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  } else if (event.key === "r") {
    refresh().catch(() => {});
  }
});

prepare(main);
const menu = document.querySelector(".menu");
if (menu && matchMedia("(max-width: 55rem)").matches) menu.open = false;
if (document.querySelector("[data-live]")) every(REFRESH_MS);
