"use strict";
(() => {
  const root = document.documentElement;

  // Theme: system, light, dark. Remembering it may be refused for a file.
  const button = document.getElementById("theme");
  const remember = (name) => { try { localStorage.setItem("keras_med_theme", name); } catch { /* a private window */ } };
  const remembered = () => { try { return localStorage.getItem("keras_med_theme"); } catch { return null; } };
  const themes = ["system", "light", "dark"];
  const setTheme = (name) => {
    if (name === "system") delete root.dataset.theme; else root.dataset.theme = name;
    button.textContent = "Theme: " + name;
  };
  let theme = themes.includes(remembered()) ? remembered() : "system";
  setTheme(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    remember(theme);
  });

  // A link to a section opens it; print shows everything.
  const openTarget = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
  };
  addEventListener("hashchange", openTarget);
  openTarget();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((each) => { each.open = false; }));

  // Tables sort by a click on a column's head: numbers by value, dashes last.
  const value = (cell) => {
    const text = cell.textContent.trim().replace(/\u2212/g, "-").replace(/\u202f/g, "");
    if (text === "\u2013" || text === "") return null;
    const number = /^-?\d+(\.\d+)?/.exec(text);
    return number ? parseFloat(number[0]) : text.toLowerCase();
  };
  const sort = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
    const numbers = rows.every(([key]) => key === null || typeof key === "number");
    rows.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return direction * (numbers ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
    });
    rows.forEach(([, row]) => body.append(row));
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const press = document.createElement("button");
      press.type = "button";
      press.textContent = head.textContent;
      press.title = "Sort by this column";
      head.replaceChildren(press);
      press.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        [...head.parentNode.cells].forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sort(table, column, ascending ? 1 : -1);
      });
    });
  });

  // The threshold slider reads counts that were computed from predictions.csv; it only looks them up.
  const data = document.getElementById("operating-points");
  if (!data) return;
  const points = JSON.parse(data.textContent);
  const slider = document.getElementById("threshold");
  const reset = document.getElementById("threshold-reset");
  const start = slider.value;
  const percent = (part, whole) => (whole ? (100 * part / whole).toFixed(1) + " %" : "\u2013");
  const spaced = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const update = () => {
    const now = points[slider.value];
    const positive = now.true_positive + now.false_negative, negative = now.false_positive + now.true_negative;
    const whole = { true_positive: positive, false_negative: positive, false_positive: negative, true_negative: negative };
    document.getElementById("threshold-value").textContent = Number(now.threshold.toPrecision(4));
    document.querySelectorAll("[data-cell]").forEach((cell) => {
      const name = cell.dataset.cell, small = document.createElement("small");
      small.textContent = percent(now[name], whole[name]);
      cell.replaceChildren(spaced(now[name]), small);
      cell.style.setProperty("--share", whole[name] ? now[name] / whole[name] : 0);
    });
    const shares = {
      sensitivity: [now.true_positive, positive], specificity: [now.true_negative, negative],
      precision: [now.true_positive, now.true_positive + now.false_positive],
      npv: [now.true_negative, now.true_negative + now.false_negative],
    };
    document.querySelectorAll("[data-share]").forEach((cell) => { cell.textContent = percent(...shares[cell.dataset.share]); });
  };
  slider.disabled = reset.disabled = false;
  slider.addEventListener("input", update);
  reset.addEventListener("click", () => { slider.value = start; update(); });
  update();
})();
