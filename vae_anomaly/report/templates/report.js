"use strict";
// The list of alerts and what there is to say of each. Whatever comes from the table becomes text nodes, never markup.
{
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const alerts = data.alerts;
  const nAlerts = alerts.row.length;
  const ROWS_OF_A_PAGE = 50;
  const LONG = 300; // characters of a cell before the rest has to be asked for
  const SHORT = 40;

  // ------------------------------------------------------------------ what the page was given

  const decoded = ({ values, levels, codes }) => values ?? codes.map((code) => levels[code]);
  const cells = data.cells.map(decoded);
  const reasonFields = Object.entries(data.reasons)
    .filter(([name]) => name !== "n")
    .map(([name, field]) => [name, decoded(field)]);
  const firstReason = [0];
  for (const n of data.reasons.n) firstReason.push(firstReason.at(-1) + n);

  const reasonsOf = (i) => {
    const places = Array.from({ length: data.reasons.n[i] }, (_, rank) => firstReason[i] + rank);
    return places.map((place) => Object.fromEntries(reasonFields.map(([name, field]) => [name, field[place]])));
  };
  const columnsOfReasons = alerts.row.map((_, i) => reasonsOf(i).map((reason) => reason.column));
  const sentences = decoded(data.reasons.sentence);
  const mainSentence = (i) => (data.reasons.n[i] ? sentences[firstReason[i]] : null);

  // ------------------------------------------------------------------ building blocks

  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };
  const drawn = (tag, attributes, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const byId = (id) => document.getElementById(id);
  const grouped = (number, digits = 0) =>
    number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const nats = (number) => grouped(number, 2);
  const counted = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;
  const gap = () => element("span", { class: "missing" }, "missing");
  const text = (value) => (value === null ? gap() : element("bdi", { dir: "auto" }, value));
  const paragraph = (kind, ...children) => element("p", { class: kind }, ...children);

  const bar = (share) => {
    const width = Math.max(0, Math.min(100, 100 * share));
    return drawn(
      "svg",
      { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
      drawn("rect", { class: "track", width: 100, height: 6 }),
      drawn("rect", { class: "fill", width: width.toFixed(1), height: 6 }),
    );
  };

  const wholeCell = (value) => {
    if (value === null || value.length <= LONG) return [text(value)];
    const start = text(`${value.slice(0, LONG)}…`);
    const show = () => {
      start.textContent = value;
      start.className = "whole";
      button.remove();
    };
    const label = `Show all ${grouped(value.length)} characters`;
    const button = element("button", { type: "button", class: "small", click: show }, label);
    return [start, " ", button];
  };

  // ------------------------------------------------------------------ the list: what it shows, in which order

  const highest = alerts.score.reduce((most, score) => Math.max(most, score)); // too many to be arguments of one call
  const scoreCell = (i) => [nats(alerts.score[i]), bar(alerts.score[i] / highest)];
  const column = (key, label, kind, value, show) => ({ key, label, kind, value, show });
  const COLUMNS = [
    column("rank", "Rank", "rank number", (i) => i, (i) => [grouped(i + 1)]),
    column("score", "Score", "score number", (i) => alerts.score[i], scoreCell),
    data.calibrated &&
      column("risk", "Risk", "extra number", (i) => alerts.risk[i], (i) => [grouped(alerts.risk[i])]),
    data.time && column("time", data.time, "time", (i) => alerts.moment[i], (i) => [text(alerts.time[i])]),
    data.entity && column("entity", data.entity, "extra", (i) => alerts.entity[i], (i) => [text(alerts.entity[i])]),
    data.segment &&
      column("segment", data.segment, "extra", (i) => alerts.segment[i], (i) => [text(alerts.segment[i])]),
    column("reason", "First reason", "reason", mainSentence, (i) => [text(mainSentence(i))]),
    column("pattern", "Pattern", "extra number", (i) => alerts.pattern[i], (i) => [
      element("span", { class: "chip" }, String(alerts.pattern[i] + 1)),
    ]),
    column("row", "Row", "extra number", (i) => alerts.row[i], (i) => [grouped(alerts.row[i] + 1)]),
  ].filter(Boolean);

  const state = { sort: "rank", down: false, listed: [], at: 0, shown: null };
  const search = byId("search");
  const filters = { column: byId("by-column"), pattern: byId("by-pattern"), segment: byId("by-segment") };

  const haystacks = new Array(nAlerts);
  const haystack = (i) => {
    const texts = () => [
      String(alerts.row[i] + 1),
      ...cells.map((of) => of[i] ?? ""),
      ...reasonsOf(i).map((reason) => reason.sentence),
    ];
    haystacks[i] ??= texts().join("\n").toLowerCase();
    return haystacks[i];
  };

  const passes = (i, words) =>
    (!filters.column.value || columnsOfReasons[i].includes(data.columns[filters.column.value])) &&
    (!filters.pattern.value || alerts.pattern[i] === Number(filters.pattern.value)) &&
    (!filters.segment?.value || alerts.segment[i] === segments[filters.segment.value]) &&
    words.every((word) => haystack(i).includes(word));

  const { compare } = new Intl.Collator("en", { numeric: true });
  const compared = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing comes last, either way round
    return sign * (typeof a === "number" ? a - b : compare(a, b));
  };

  const choose = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { value } = COLUMNS.find(({ key }) => key === state.sort);
    const values = alerts.row.map((_, i) => value(i));
    const sign = state.down ? -1 : 1;
    state.listed = alerts.row
      .map((_, i) => i)
      .filter((i) => passes(i, words))
      .sort((i, j) => compared(values[i], values[j], sign) || i - j);
    state.at = 0;
    drawHeads();
    drawRows();
  };

  // ------------------------------------------------------------------ the list: drawing it

  const sortBy = (key, number) => {
    state.down = state.sort === key ? !state.down : number && !["rank", "row", "pattern"].includes(key);
    state.sort = key;
    choose();
    byId(`sort-${key}`).focus();
  };

  const head = ({ key, label, kind }) => {
    const sorted = state.sort === key;
    const [arrow, order] = !sorted ? ["", "none"] : state.down ? ["▼", "descending"] : ["▲", "ascending"];
    const click = () => sortBy(key, kind.includes("number"));
    const mark = element("span", { class: "arrow", "aria-hidden": "true" }, arrow);
    return element(
      "th",
      { role: "columnheader", scope: "col", class: kind, "aria-sort": order },
      element("button", { type: "button", id: `sort-${key}`, click }, text(label), mark),
    );
  };

  const drawHeads = () => byId("heads").replaceChildren(...COLUMNS.map(head));

  const page = () => Math.floor(state.at / ROWS_OF_A_PAGE);

  const row = (place) => {
    const i = state.listed[place];
    return element(
      "tr",
      {
        role: "row",
        id: `alert-${i}`,
        "data-place": place,
        tabindex: place === state.at ? 0 : -1,
        "aria-rowindex": place + 2,
        "aria-selected": String(i === state.shown),
      },
      ...COLUMNS.map(({ kind, show }) => element("td", { role: "gridcell", class: kind }, ...show(i))),
    );
  };

  const drawRows = () => {
    const start = page() * ROWS_OF_A_PAGE;
    const end = Math.min(start + ROWS_OF_A_PAGE, state.listed.length);
    byId("rows").replaceChildren(...Array.from({ length: end - start }, (_, i) => row(start + i)));
    byId("list").setAttribute("aria-rowcount", state.listed.length + 1);
    byId("earlier").disabled = start === 0;
    byId("later").disabled = end === state.listed.length;
    const every = counted(nAlerts, "alert");
    const found = state.listed.length === nAlerts ? every : `${grouped(state.listed.length)} of ${every}`;
    const shown = `${grouped(start + 1)} to ${grouped(end)}; ${found}`;
    byId("status").textContent = state.listed.length ? shown : `No alert fits: 0 of ${every}`;
  };

  const goTo = (place, focus = true) => {
    const before = page();
    const last = byId(`alert-${state.listed[state.at]}`);
    state.at = Math.max(0, Math.min(place, state.listed.length - 1));
    if (page() !== before) drawRows();
    else last?.setAttribute("tabindex", -1);
    const now = byId(`alert-${state.listed[state.at]}`);
    now?.setAttribute("tabindex", 0);
    if (focus) now?.focus();
    if (state.shown !== null) show(state.listed[state.at]);
  };

  // ------------------------------------------------------------------ one alert

  const detail = byId("detail");
  const narrow = matchMedia("(max-width: 64rem)");

  const factsOf = (i) => {
    const above = `${nats(alerts.score[i] - alerts.threshold[i])} above the threshold of ${nats(alerts.threshold[i])}`;
    const pattern = alerts.pattern[i];
    const showPattern = element("button", { type: "button", class: "link", click: () => filterBy("pattern", pattern) });
    showPattern.append(`${pattern + 1}: `, text(data.patterns[pattern]));
    const fact = (name, value, width = "") =>
      element("li", { class: width }, paragraph("name", name), paragraph("value", ...value));
    const small = (words) => element("small", {}, words);
    const facts = [fact("Score", [`${nats(alerts.score[i])} nats `, small(above)], "broad")];
    if (data.calibrated) {
      facts.push(fact("Risk", [grouped(alerts.risk[i]), small(" of 1,000")]));
      facts.push(fact("p-value", [alerts.p_value[i].toPrecision(2)]));
    }
    if (data.segment) facts.push(fact(text(data.segment), [text(alerts.segment[i])]));
    facts.push(fact("Pattern", [showPattern], "broad"));
    return element("ul", { class: "facts" }, ...facts);
  };

  const rarity = (percentile) =>
    percentile >= 99.95
      ? "more than in any normal row held out"
      : `more than in ${grouped(percentile, 1)} % of normal rows held out`;

  const part = (i, share) =>
    paragraph(
      "amount",
      bar(share / alerts.score[i]),
      element("span", {}, `${nats(share)} of ${nats(alerts.score[i])} nats`),
    );

  const reasonItem = (i) => (reason) => {
    const direction = element("span", { class: "direction" }, reason.direction);
    const pairs = [
      ["Observed", element("dd", {}, text(reason.observed), " ", direction)],
      ["Expected", element("dd", {}, text(reason.expected))],
    ];
    if (reason.percentile !== null) pairs.push(["Surprises", element("dd", {}, rarity(reason.percentile))]);
    const flat = pairs.flatMap(([name, value]) => [element("dt", {}, name), value]);
    return element(
      "li",
      {},
      paragraph("sentence", text(reason.sentence)),
      element("dl", { class: "pair" }, ...flat),
      part(i, reason.share),
    );
  };

  const reasonList = (i) =>
    element(
      "ol",
      { class: "reasons" },
      ...reasonsOf(i).map(reasonItem(i)),
      element("li", {}, element("p", {}, "The other columns, and what belongs to no column"), part(i, alerts.rest[i])),
    );

  const table = (heads, rows) => {
    const labels = heads.map(([label, kind]) => element("th", { scope: "col", class: kind }, text(label)));
    return element("table", {}, element("thead", {}, element("tr", {}, ...labels)), element("tbody", {}, ...rows));
  };

  const nearestNote = (i) => {
    const nearest = data.nearest[i];
    if (nearest === null) return "Not looked for: this alert is not among the highest ones, for which it was.";
    const n = nearest.changes.length;
    const these = n === 1 ? "this change" : `these ${n} changes`;
    const falls = `with ${these} the score falls to ${nats(nearest.score)} nats`;
    if (nearest.reached) return `The row would no longer alert: ${falls}.`;
    return n ? `No change of the free columns is enough: ${falls}.` : "No change of the free columns is enough.";
  };

  const nearestParts = (i) => {
    const note = paragraph("note", nearestNote(i));
    const changes = data.nearest[i]?.changes ?? [];
    if (!changes.length) return [note];
    const rows = changes.map(([name, observed, suggested, difference]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, text(name)),
        element("td", {}, text(observed)),
        element("td", {}, text(suggested)),
        element("td", { class: "number" }, difference ?? ""),
      ),
    );
    return [table([["Column"], ["Here"], ["Would be usual"], ["Difference", "number"]], rows), note];
  };

  const timeline = (history, i) => {
    const [width, height, low, left, right] = [520, 130, 108, 12, 508];
    const moments = history.moment.map((moment, place) => (data.time ? moment : place));
    const known = moments.filter((moment) => moment !== null);
    const [first, last] = [Math.min(...known), Math.max(...known)];
    const top = Math.max(...history.score, alerts.threshold[i], 1);
    const wide = (right - left) / (last - first || 1);
    const x = (moment) => (last === first ? (left + right) / 2 : left + wide * (moment - first));
    const y = (score) => low - (low - 14) * (Math.max(0, score) / top);
    const label = "Scores of these rows over time";
    const view = `0 0 ${width} ${height}`;
    const picture = drawn("svg", { class: "timeline", viewBox: view, role: "img", "aria-label": label });
    const limit = y(alerts.threshold[i]);
    picture.append(drawn("line", { class: "limit", x1: 0, x2: width, y1: limit, y2: limit }));
    history.score.forEach((score, place) => {
      if (moments[place] === null) return;
      const [cx, cy] = [x(moments[place]).toFixed(1), y(score).toFixed(1)];
      picture.append(drawn("line", { class: "stem", x1: cx, x2: cx, y1: low, y2: cy }));
      picture.append(drawn("circle", { class: history.alert[place] ? "dot over" : "dot", cx, cy, r: 3.5 }));
      if (history.row[place] === alerts.row[i]) picture.append(drawn("circle", { class: "here", cx, cy, r: 7 }));
    });
    const ends = history.time.filter((_, place) => moments[place] !== null);
    if (data.time && ends.length) {
      picture.append(drawn("text", { x: left, y: height - 6 }, ends[0]));
      picture.append(drawn("text", { x: right, y: height - 6, "text-anchor": "end" }, ends.at(-1)));
    }
    picture.append(drawn("text", { x: left, y: Math.max(10, limit - 4) }, "threshold"));
    return picture;
  };

  const shortened = (cell) => (cell && cell.length > SHORT ? `${cell.slice(0, SHORT)}…` : cell);

  const historyParts = (i) => {
    const history = data.histories[alerts.entity[i]];
    const heading = element("h4", {}, "History of ", text(alerts.entity[i]));
    if (!history) return [heading, paragraph("note", "No entity is named in this row.")];
    const n = history.row.length;
    const said = `${counted(history.n_rows, "row")} in these files, ${counted(history.n_alerts, "alert")}.`;
    const cut = n < history.n_rows ? ` The ${grouped(n)} next to its alerts are shown.` : "";
    const named = data.history_columns.map((name) => [name]);
    const heads = [[data.time ?? "Order"], ["Row", "number"], ["Score", "number"], ...named];
    const rows = history.row.map((place, at) => {
      const kinds = [place === alerts.row[i] && "here", history.alert[at] && "over"].filter(Boolean).join(" ");
      return element(
        "tr",
        { class: kinds, "aria-current": place === alerts.row[i] ? "true" : null },
        element("td", {}, data.time ? text(history.time[at]) : grouped(at + 1)),
        element("td", { class: "number" }, grouped(place + 1)),
        element("td", { class: "number" }, nats(history.score[at])),
        ...history.cells[at].map((cell) => element("td", {}, text(shortened(cell)))),
      );
    });
    const scrolled = { class: "visits", tabindex: 0, role: "group", "aria-label": "Rows of this entity" };
    const visits = element("div", scrolled, table(heads, rows));
    return [heading, paragraph("note", said + cut), timeline(history, i), visits];
  };

  const wholeRow = (i) => {
    const rows = data.columns.map((name, place) =>
      element(
        "tr",
        { class: columnsOfReasons[i].includes(name) ? "reason" : "" },
        element("th", { scope: "row" }, text(name)),
        element("td", {}, ...wholeCell(cells[place][i])),
      ),
    );
    return element("table", { class: "cells" }, element("tbody", {}, ...rows));
  };

  const whereOf = (i) => {
    const parts = [`row ${grouped(alerts.row[i] + 1)}`];
    if (data.time && alerts.time[i] !== null) parts.push(" · ", text(alerts.time[i]));
    if (data.entity && alerts.entity[i] !== null) parts.push(" · ", text(alerts.entity[i]));
    return parts;
  };

  const show = (i) => {
    const place = state.listed.indexOf(i);
    const step = (by, label, id) => {
      const attributes = { type: "button", class: "small", id, "aria-label": label };
      return element("button", { ...attributes, click: () => stepTo(place + by, id) }, by < 0 ? "↑" : "↓");
    };
    const [before, after] = [step(-1, "Previous alert", "before"), step(1, "Next alert", "after")];
    before.disabled = place <= 0;
    after.disabled = place < 0 || place === state.listed.length - 1;
    const close = element("button", { type: "button", class: "small", id: "close", click: closeDetail }, "Close");
    const heading = element("h3", { id: "detail-heading", tabindex: -1 }, `Alert ${grouped(i + 1)}`);
    detail.replaceChildren(
      element("header", {}, element("div", { class: "hidden-gap" }, heading), element("div", {}, before, after, close)),
      paragraph("where", ...whereOf(i)),
      factsOf(i),
      element("h4", {}, "Reasons"),
      reasonList(i),
      element("h4", {}, "What would have to change"),
      ...nearestParts(i),
      ...(data.entity ? historyParts(i) : []),
      element("h4", {}, "The whole row"),
      wholeRow(i),
    );
    byId(`alert-${state.shown}`)?.setAttribute("aria-selected", "false");
    state.shown = i;
    byId(`alert-${i}`)?.setAttribute("aria-selected", "true");
    detail.hidden = false;
    detail.scrollTop = 0;
    byId("split").classList.add("opened");
    behind(narrow.matches);
  };

  const behind = (covered) => {
    const others = [...document.body.children, ...document.querySelectorAll("main > *, #alerts > *, #split > *")];
    for (const node of others) if (!node.contains(detail) && node.tagName !== "SCRIPT") node.inert = covered;
  };

  const open = (place) => {
    goTo(place, false);
    show(state.listed[state.at]);
    byId("detail-heading").focus({ preventScroll: !narrow.matches });
  };

  const stepTo = (place, name) => {
    goTo(place, false);
    const button = byId(name);
    (button.disabled ? byId("detail-heading") : button).focus();
  };

  const closeDetail = () => {
    if (state.shown === null) return;
    const before = byId(`alert-${state.shown}`);
    before?.setAttribute("aria-selected", "false");
    state.shown = null;
    detail.hidden = true;
    byId("split").classList.remove("opened");
    behind(false);
    (byId(`alert-${state.listed[state.at]}`) ?? search).focus();
  };

  // ------------------------------------------------------------------ paper

  const printed = (i) => {
    const nearest = data.nearest[i];
    const changes = (nearest?.changes ?? []).map(
      ([name, observed, suggested]) => `${name}: ${suggested ?? "missing"} instead of ${observed ?? "missing"}`,
    );
    const risk = () => `, risk ${grouped(alerts.risk[i])}, p-value ${alerts.p_value[i].toPrecision(2)}`;
    const title = [`Alert ${grouped(i + 1)}`, `${nats(alerts.score[i])} nats${data.calibrated ? risk() : ""}`];
    const reasons = reasonsOf(i).map(({ sentence, share }) =>
      element("li", {}, text(sentence), element("span", {}, ` (${nats(share)} nats)`)),
    );
    const how = nearest?.reached ? "No alert with " : "Nearer to usual with ";
    return element(
      "article",
      {},
      element("h3", {}, ...title.map((words) => element("span", {}, words))),
      paragraph("where", ...whereOf(i), ` · pattern ${alerts.pattern[i] + 1}`),
      element("ol", {}, ...reasons),
      ...(changes.length ? [element("p", {}, how, text(changes.join("; ")))] : []),
    );
  };

  const fillPaper = () => {
    const some = state.listed.slice(0, data.printed);
    const every = counted(state.listed.length, "alert");
    const which = state.listed.length === nAlerts ? "all" : "as they are filtered";
    const by = COLUMNS.find(({ key }) => key === state.sort).label;
    const said = some.length < state.listed.length ? `The first ${grouped(some.length)} of ${every}` : every;
    byId("printed").replaceChildren(element("p", {}, `${said} (${which}; by ${by}).`), ...some.map(printed));
  };

  // ------------------------------------------------------------------ events

  const filterBy = (name, value) => {
    byId("filters").reset();
    filters[name].value = value;
    choose();
    if (narrow.matches) closeDetail();
    byId("alerts").scrollIntoView();
    filters[name].focus({ preventScroll: true });
  };

  const segments = data.segment ? [...new Set(alerts.segment)].sort((a, b) => compared(a, b, 1)) : [];
  const fill = (select, options) =>
    select.append(...options.map(([value, label]) => element("option", { value }, label)));
  const nOf = new Map();
  for (const names of columnsOfReasons) for (const name of new Set(names)) nOf.set(name, (nOf.get(name) ?? 0) + 1);
  const reasonColumns = [...nOf].sort(([, n], [, m]) => m - n);
  fill(filters.column, reasonColumns.map(([name, n]) => [data.columns.indexOf(name), `${name} (${grouped(n)})`]));
  fill(filters.pattern, data.patterns.map((name, place) => [place, `${place + 1}: ${name}`]));
  const segmentOptions = segments.map((name, place) => [place, name ?? "missing"]);
  if (filters.segment) fill(filters.segment, segmentOptions);

  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(choose, 80);
  });
  for (const select of Object.values(filters)) select?.addEventListener("change", choose);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(choose));
  byId("earlier").addEventListener("click", () => goTo((page() - 1) * ROWS_OF_A_PAGE));
  byId("later").addEventListener("click", () => goTo((page() + 1) * ROWS_OF_A_PAGE));
  for (const button of document.querySelectorAll("[data-pattern]")) {
    button.addEventListener("click", () => filterBy("pattern", button.dataset.pattern));
  }

  byId("rows").addEventListener("click", (event) => {
    const chosen = event.target.closest("tr");
    if (chosen) open(Number(chosen.dataset.place));
  });
  byId("rows").addEventListener("keydown", (event) => {
    const place = Number(event.target.closest("tr").dataset.place);
    const moves = {
      ArrowDown: place + 1,
      ArrowUp: place - 1,
      PageDown: place + ROWS_OF_A_PAGE,
      PageUp: place - ROWS_OF_A_PAGE,
      Home: 0,
      End: state.listed.length - 1,
    };
    if (event.key in moves) goTo(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") open(place);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.shown !== null) closeDetail();
  });
  narrow.addEventListener("change", () => behind(narrow.matches && state.shown !== null));
  addEventListener("beforeprint", fillPaper);
  addEventListener("afterprint", () => byId("printed").replaceChildren());

  choose();
}
