// What pages do beyond htmx: the theme without a reload, a key that finds, parts that say they wait.
"use strict";

(() => {
  const root = document.documentElement;
  const A_YEAR = 365 * 24 * 3600;

  function isDark() {
    const chosen = root.dataset.theme;
    return chosen === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
  }

  function told() {
    document.dispatchEvent(new CustomEvent("quantsync:theme"));
  }

  const theme = document.getElementById("theme");
  if (theme) {
    const say = () => theme.setAttribute("aria-pressed", String(isDark()));
    say();
    theme.addEventListener("click", (event) => {
      event.preventDefault();
      root.dataset.theme = isDark() ? "light" : "dark";
      const secure = location.protocol === "https:" ? "; secure" : "";
      document.cookie =
        `quantsync_theme=${root.dataset.theme}; path=/; max-age=${A_YEAR}; samesite=lax${secure}`;
      say();
      told();
    });
    theme.addEventListener("keydown", (event) => {
      if (event.key === " ") { // a button is pressed by the space bar, too
        event.preventDefault();
        theme.click();
      }
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { say(); told(); });
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const find = document.getElementById("jump");
      if (find) {
        event.preventDefault();
        find.focus();
      }
    }
  });

  // A part that cannot be brought up to date says so, and no more than that.
  document.addEventListener("htmx:error", () => root.classList.add("away"));
  document.addEventListener("htmx:after:swap", () => root.classList.remove("away"));
})();
