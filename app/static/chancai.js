// Small comforts on top of pages that work without them: menus that close, dialogs in older browsers,
// time that counts down, copy buttons, buttons that cannot be pressed twice.
(() => {
  const language = document.documentElement.lang;

  // Menus are <details data-menu>: one is open at a time; a click elsewhere or Escape closes it.
  const openMenus = () => document.querySelectorAll("details[data-menu][open]");
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("focusin", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });

  // <button commandfor command>: browsers of the last years do this themselves.
  if (!("commandForElement" in HTMLButtonElement.prototype)) {
    document.addEventListener("click", (event) => {
      const button = event.target.closest("button[commandfor]");
      const dialog = button && document.getElementById(button.getAttribute("commandfor"));
      if (!dialog) return;
      if (button.getAttribute("command") === "show-modal") dialog.showModal();
      if (button.getAttribute("command") === "close") dialog.close();
    });
  }

  // "41 minutes left", from <time data-time-left datetime>; refreshed here, without asking the server.
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const inWords = (seconds) => {
    const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units.at(-1);
    const amount = (value, name) =>
      new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "long" }).format(value);
    const whole = Math.floor(seconds / size);
    const rest = Math.floor((seconds % size) / 60);
    return unit === "hour" && rest ? `${amount(whole, unit)} ${amount(rest, "minute")}` : amount(whole, unit);
  };
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-time-left]")) {
      const seconds = Math.max(0, (Date.parse(time.dateTime) - Date.now()) / 1000);
      time.title ||= time.textContent;
      time.textContent = inWords(seconds);
      time.classList.toggle("is-short", seconds < 600);
    }
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
      const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? units.at(-1);
      time.title ||= time.textContent;
      time.textContent = relative.format(Math.trunc(seconds / size), unit);
    }
  };
  setInterval(tick, 1000);
  tick();
  document.addEventListener("htmx:load", tick);

  // Copy buttons say that they did it.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("is-done");
    setTimeout(() => button.classList.remove("is-done"), 1500);
  });

  // A form that was sent shows so, and is not sent twice by a second click. Coming back makes it usable again.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.method === "dialog") return;
    if (event.target.dataset.sent) return event.preventDefault();
    if (event.target.method === "post" && !event.target.matches("[hx-post]")) {
      event.target.dataset.sent = "1";
      event.submitter?.classList.add("is-busy");
    }
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll(".is-busy")) button.classList.remove("is-busy");
  });

  // A refusal that htmx puts into #alerts is brought into view; an older one goes with the next request.
  const alerts = document.getElementById("alerts");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.closest("[hx-trigger*='every']") === null) alerts.replaceChildren();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== alerts || alerts.childElementCount === 0) return;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    alerts.scrollIntoView({ block: "start" });
  });

  // What scrolls sideways can be scrolled by keyboard, and says what it is.
  const markScrollers = () => {
    for (const box of document.querySelectorAll(".table-scroll, pre.code, .prose pre, .prose table")) {
      const scrolls = box.scrollWidth > box.clientWidth;
      box.toggleAttribute("tabindex", scrolls);
      if (!scrolls) { box.removeAttribute("role"); continue; }
      box.tabIndex = 0;
      const caption = box.querySelector("caption");
      if (caption) { box.setAttribute("role", "group"); box.setAttribute("aria-label", caption.textContent); }
    }
  };
  const sizes = new ResizeObserver(markScrollers);  // what is wide may change while the page keeps its size: fonts
  const watchSizes = () => {
    sizes.observe(document.body);
    for (const inner of document.querySelectorAll(".table-scroll > *")) sizes.observe(inner);
  };
  watchSizes();
  document.addEventListener("htmx:load", () => { watchSizes(); markScrollers(); });

  // Filter boxes: <input data-filter="selector"> hides what does not contain the words.
  document.addEventListener("input", (event) => {
    const box = event.target.closest("[data-filter]");
    if (!box) return;
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of document.querySelectorAll(box.dataset.filter)) {
      const text = (item.dataset.words ?? item.textContent).toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of document.querySelectorAll("[data-filter-group]")) {
      group.hidden = !group.querySelector(`:is(${box.dataset.filter}):not([hidden])`);
    }
  });
})();
