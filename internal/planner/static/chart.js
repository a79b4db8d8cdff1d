// Draws the table of weeks: demand as bars by result, actual capacity solid,
// maximum dotted, agreed dashed, flexible capacity as the area between (CX-0128
// §5.6.3). Figures are exact in the table; here they are pixels.
"use strict";
(() => {
  const table = document.getElementById("weeks-table"), place = document.getElementById("chart");
  if (!table || !place || !window.uPlot) return;
  const rows = [...table.tBodies[0].rows];
  const week = 7 * 86400;
  const values = (name) => rows.map((r) => (r.dataset[name] === "" ? null : Number(r.dataset[name])));
  // A week reaches from its Monday to the next: the last one ends where no other begins.
  const lines = (name) => ((v) => [...v, v[v.length - 1]])(values(name));
  const weeks = rows.map((r) => Date.parse(r.dataset.week) / 1000);
  const ends = [...weeks, weeks[weeks.length - 1] + week];
  const fills = { green: "#809500", orange: "#ffa600", red: "#d91e18", nocapacity: "#fff", none: "#b8bec6" };
  const strokes = { ...fills, nocapacity: "#a3120d" };
  const coloured = (of) => rows.map((r) => of[r.dataset.class] || of.none);
  const compact = new Intl.NumberFormat("en", { notation: "compact" });
  const date = (s) => new Date(s * 1000).toISOString().slice(0, 10);
  // Ticks are Mondays, as many as there is room for.
  const mondays = (u) => {
    const every = Math.max(1, Math.ceil(weeks.length / Math.max(1, Math.floor(u.bbox.width / devicePixelRatio / 85))));
    return weeks.filter((_, i) => i % every === 0);
  };
  const reading = document.getElementById("reading"), hint = reading.textContent;
  const read = (u) => {
    const row = rows[u.cursor.idx];
    reading.textContent = row ? [...row.cells].map((c, i) => (i ? table.tHead.rows[0].cells[i].textContent + " " + c.textContent.trim() : "Week of " + c.textContent)).join(" · ") : hint;
  };
  const stepped = uPlot.paths.stepped({ align: 1 });
  const bars = uPlot.paths.bars({ size: [0.85, 60], align: 1, disp: { fill: { unit: 3, values: () => coloured(fills) }, stroke: { unit: 3, values: () => coloured(strokes) } } });
  const today = Date.parse(table.dataset.today) / 1000;

  const mark = (u) => {
    const x = u.valToPos(today, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
    const c = u.ctx;
    c.save();
    c.strokeStyle = c.fillStyle = "#1d2126";
    c.lineWidth = devicePixelRatio;
    c.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    c.beginPath();
    c.moveTo(x, u.bbox.top);
    c.lineTo(x, u.bbox.top + u.bbox.height);
    c.stroke();
    c.textAlign = "left";
    c.font = 11 * devicePixelRatio + "px sans-serif";
    c.fillText("today", x + 4 * devicePixelRatio, u.bbox.top + 11 * devicePixelRatio);
    c.restore();
  };

  const size = () => ({ width: place.clientWidth, height: Math.max(280, Math.min(420, place.clientWidth / 2)) });
  const chart = new uPlot({
    ...size(),
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "Etc/UTC"),
    scales: { x: { range: (u, min, max) => [Math.min(min, today) - 86400, max + 86400] }, y: { range: (u, min, max) => [Math.min(0, min), max * 1.08 || 1] } },
    legend: { show: false },
    cursor: { y: false, points: { show: false } },
    axes: [{ splits: mondays, values: (u, ticks) => ticks.map(date) }, { values: (u, ticks) => ticks.map((t) => compact.format(t)), size: 60 }],
    series: [
      {},
      { label: "Demand", fill: "#8d99a6", stroke: "#8d99a6", paths: bars, points: { show: false } },
      { label: "Maximum", stroke: "#1d2126", dash: [2, 4], width: 2, paths: stepped, points: { show: false } },
      { label: "Actual", stroke: "#0b5394", width: 2, paths: stepped, points: { show: false } },
      { label: "Agreed", stroke: "#6a3d9a", dash: [8, 5], width: 2, paths: stepped, points: { show: false } },
    ],
    bands: [{ series: [2, 3], fill: "rgba(11, 83, 148, 0.12)" }],
    hooks: { draw: [mark], setCursor: [read] },
  }, [ends, [...values("demand"), null], lines("maximum"), lines("actual"), lines("agreed")], place);
  addEventListener("resize", () => chart.setSize(size()));
})();
