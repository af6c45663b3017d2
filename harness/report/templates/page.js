"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const themes = ["", "light", "dark"];
  const kept = { // A page opened as a file may have no storage.
    get: () => { try { return localStorage.getItem("faultloop-theme") || ""; } catch { return ""; } },
    set: (name) => { try { localStorage.setItem("faultloop-theme", name); } catch { /* as it is */ } },
  };
  const dress = (name) => {
    if (name) root.dataset.theme = name; else delete root.dataset.theme;
  };
  dress(themes.includes(kept.get()) ? kept.get() : "");

  const theme = () => {
    const button = document.getElementById("theme");
    const say = () => { button.textContent = `Theme: ${root.dataset.theme || "as the system"}`; };
    button.hidden = false;
    say();
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
      dress(next);
      kept.set(next);
      say();
    });
  };

  const key = (cell) => {
    const text = cell.dataset.k ?? cell.textContent.trim();
    return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  };
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
  const sorting = (table) => {
    const heads = all("thead tr:last-child > *", table);
    const body = table.tBodies[0];
    const first = [...body.rows];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const order = { none: "ascending", ascending: "descending", descending: "none" }[now];
        heads.forEach((other) => { if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none"); });
        head.setAttribute("aria-sort", order);
        const rows = [...first];
        if (order !== "none") rows.sort((a, b) => compare(key(a.cells[column]), key(b.cells[column])) * (order === "ascending" ? 1 : -1));
        body.append(...rows);
      });
    });
  };

  const filtering = () => {
    const form = document.querySelector(".filters");
    if (!form) return;
    const sections = all("[data-state][data-path]");
    const rows = all("tr[data-path]");
    const buttons = all(".tally button", form);
    let state = "";
    const apply = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const outcome = form.elements.outcome.value;
      const family = form.elements.family ? form.elements.family.value : "";
      const shown = new Set();
      for (const section of sections) {
        const { dataset } = section;
        const text = dataset.text.toLowerCase();
        const fits = (!state || dataset.state === state) && (!outcome || dataset.outcomes.split(" ").includes(outcome))
          && (!family || dataset.family === family) && words.every((word) => text.includes(word));
        section.hidden = !fits;
        if (fits) shown.add(dataset.path);
      }
      rows.forEach((row) => { row.hidden = !shown.has(row.dataset.path); });
      buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.state === state)));
      form.querySelector("output").textContent = shown.size === sections.length ? "" : `${shown.size} of ${sections.length} shown`;
      const none = document.querySelector(".none");
      if (none) none.hidden = shown.size > 0;
    };
    buttons.forEach((button) => button.addEventListener("click", () => { state = button.dataset.state; apply(); }));
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => { state = ""; setTimeout(apply); });
    form.hidden = false;
    form.show = () => { form.reset(); state = ""; apply(); };
  };

  // A link to a path opens it, also when it is filtered out.
  const follow = () => {
    const wanted = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!wanted || wanted.tagName !== "DETAILS") return;
    if (wanted.hidden) document.querySelector(".filters").show();
    wanted.open = true;
    wanted.scrollIntoView();
    wanted.querySelector("summary").focus({ preventScroll: true });
  };

  const tools = () => {
    const line = document.querySelector(".tools");
    if (!line) return;
    const set = (open) => all("details.path").forEach((path) => { if (!path.hidden) path.open = open; });
    document.getElementById("open").addEventListener("click", () => set(true));
    document.getElementById("close").addEventListener("click", () => set(false));
    line.hidden = false;
  };

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    all("table.sortable").forEach(sorting);
    filtering();
    tools();
    follow();
    addEventListener("hashchange", follow);
    // A link to the place where one already is changes no hash.
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[href^='#']");
      if (link && link.hash === location.hash) follow();
    });
  });
})();
