"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const SVG_POINTS = 5000;  // up to here SVG is quick enough, and prints sharper than WebGL
  const WEBGL = (() => {
    const canvas = document.createElement("canvas");
    return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
  })();
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const scale = data.colours.map((colour, i) => [i / (data.colours.length - 1), colour]);
  const [least, most] = data.size.reduce(([a, b], n) => [Math.min(a, n), Math.max(b, n)], [Infinity, -Infinity]);
  const base = {
    font: { size: 14, color: "#1a1a1a", family: "system-ui, 'DejaVu Sans', sans-serif" },
    paper_bgcolor: "#fff", plot_bgcolor: "#fff", hovermode: "closest", showlegend: false,
    hoverlabel: { align: "left", bgcolor: "#fff", bordercolor: "#333", font: { size: 13, color: "#1a1a1a" } },
  };
  const axis = { gridcolor: "#e4e4e4", zeroline: false, automargin: true, ticks: "outside", tickcolor: "#999" };

  // plotly reads a few tags and entities in text; what is shown here is plain.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const folded = (text) => {
    const lines = [""];
    for (const piece of text.match(/[^|+,;/\s]*[|+,;/\s]*/g)) {
      if (lines.at(-1) && lines.at(-1).length + piece.length > 48) lines.push("");
      lines[lines.length - 1] += piece;
    }
    return lines.flatMap((line) => line.match(/.{1,60}/g) || []).map(plain).join("<br>");
  };
  const numbers = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });
  const words = (n) => numbers.format(n);
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // The filters, and the points that pass them.

  const form = by("filters"), predictorBox = by("predictor"), statusBox = by("status"), search = by("search");
  data.predictors.forEach((each, i) => predictorBox.append(make("option", { value: i }, each.name)));
  const colourOf = (n) => {
    const at = most > least ? ((n - least) / (most - least)) * (scale.length - 1) : 0;
    const low = Math.min(Math.floor(at), scale.length - 2);
    const channel = (colour, i) => parseInt(colour.slice(1 + 2 * i, 3 + 2 * i), 16);
    return `rgb(${[0, 1, 2].map((i) => {
      const [a, b] = [channel(scale[low][1], i), channel(scale[low + 1][1], i)];
      return Math.round(a + (b - a) * (at - low));
    })})`;
  };
  if (data.sizes) {
    for (const size of data.sizes) {
      const dot = make("i", {});
      dot.style.background = colourOf(size);
      by("sizes").append(make("label", { className: "check" },
        make("input", { type: "checkbox", value: size, defaultChecked: true, checked: true }), dot, words(size)));
    }
  } else {
    for (const [name, bound] of [["from", least], ["to", most]]) {
      by("sizes").append(make("label", {}, name, make("input", { type: "number", id: name, step: "any", placeholder: words(bound) })));
    }
  }

  const codeOf = (predictor, i) => predictor.codes[predictor.code ? predictor.code[i] : 0];
  const fillStatus = () => {
    const chosen = statusBox.value;
    const codes = data.predictors[predictorBox.value].codes;
    statusBox.replaceChildren(make("option", { value: "" }, "any"), ...codes.map((code) => make("option", { value: code }, code)));
    statusBox.value = codes.includes(chosen) ? chosen : "";
  };
  const passes = () => {
    const predictor = data.predictors[predictorBox.value];
    const needle = search.value.trim().toLowerCase();
    const bound = (id, otherwise) => (by(id).value === "" ? otherwise : Number(by(id).value));
    const [low, high] = data.sizes ? [] : [bound("from", -Infinity), bound("to", Infinity)];
    const sizes = new Set([...by("sizes").querySelectorAll(":checked")].map((box) => Number(box.value)));
    return (i) =>
      (!statusBox.value || codeOf(predictor, i) === statusBox.value) &&
      (data.sizes ? sizes.has(data.size[i]) : data.size[i] >= low && data.size[i] <= high) &&
      (!needle || data.archs[i].toLowerCase().includes(needle));
  };

  // The main plot.

  const hover = (predictor, i) => {
    const value = predictor.values[i];
    const status = value === null ? data.reasons[i] || codeOf(predictor, i) : codeOf(predictor, i);
    return `${folded(data.archs[i])}<br>${plain(predictor.name)}: ${value === null ? "none" : words(value)}` +
      `<br>accuracy: ${data.accuracy[i].toFixed(2)} %<br>${plain(data.size_name)}: ${words(data.size[i])}<br>status: ${folded(status)}`;
  };
  const trace = (predictor, points, x, type, symbol, big) => ({
    type, x, y: points.map((i) => data.accuracy[i]), mode: "markers", customdata: points,
    text: points.map((i) => hover(predictor, i)), hovertemplate: "%{text}<extra></extra>",
    marker: {
      color: points.map((i) => data.size[i]), colorscale: scale, cmin: least, cmax: most > least ? most : least + 1,
      size: big, symbol, opacity: points.length > 2000 ? 0.65 : 0.85, line: { width: 0 },
    },
  });
  const draw = () => {
    const predictor = data.predictors[predictorBox.value];
    const wanted = passes();
    const failed = [], scored = [];
    let allFailed = 0;
    data.archs.forEach((_, i) => {
      const none = predictor.values[i] === null;
      allFailed += none;
      if (wanted(i)) (none ? failed : scored).push(i);
    });
    const type = scored.length >= SVG_POINTS && WEBGL ? "scattergl" : "scatter";
    const points = trace(predictor, scored, scored.map((i) => predictor.values[i]), type, "circle", data.archs.length > 1000 ? 5 : 8);
    if (!data.sizes) {
      points.marker.colorbar = { title: { text: plain(data.size_name), side: "top" }, orientation: "h", thickness: 10, len: 0.6, y: 1, yanchor: "bottom", x: 0.5 };
    }
    // A fraction of the golden ratio's multiples spreads points evenly over the strip, the same at every drawing.
    const strip = trace(predictor, failed, failed.map((i) => (i * 0.618034) % 1), "scatter", "diamond", 7);
    Object.assign(strip, { xaxis: "x2" });
    const room = allFailed ? 0.1 : 0;
    Plotly.react("plot", [points, strip], {
      ...base, uirevision: predictor.name, margin: { l: 55, r: 15, t: data.sizes ? 25 : 75, b: 60 },
      xaxis: { ...axis, domain: [room ? room + 0.03 : 0, 1], title: { text: plain(predictor.name) + (predictor.higher_is_better ? "" : " (lower is better)") } },
      xaxis2: { ...axis, domain: [0, room || 0.001], range: [-0.2, 1.2], visible: room > 0, fixedrange: true, showticklabels: false, ticks: "", showgrid: false, title: { text: `no score<br>(${words(allFailed)})` } },
      yaxis: { ...axis, anchor: room ? "x2" : "x", title: { text: `accuracy, % (${plain(data.column)}${data.estimated ? ", an estimate" : ""})` } },
      shapes: room ? [{ type: "rect", xref: "paper", yref: "paper", x0: 0, x1: room, y0: 0, y1: 1, fillcolor: "#f2f2f2", line: { width: 0 }, layer: "below" }] : [],
    }, config);
    const total = data.archs.length;
    by("shown").textContent = `${words(scored.length)} of ${words(total - allFailed)} with a finite score shown` +
      (allFailed ? `, and ${words(failed.length)} of ${words(allFailed)} without one, on the grey strip at the left.` : "; no score failed.");
    const sign = predictor.higher_is_better ? 1 : -1;
    const best = [...scored].sort((a, b) => sign * (predictor.values[b] - predictor.values[a])).slice(0, 10);
    by("list").tBodies[0].replaceChildren(...best.map((i) => make("tr", {},
      ...[words(predictor.values[i]), data.accuracy[i].toFixed(2), words(data.size[i])].map((text) => make("td", { className: "number" }, text)),
      make("td", {}, make("code", {}, data.archs[i])))));
  };
  let waiting;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); };
  predictorBox.addEventListener("change", fillStatus);
  form.addEventListener("input", soon);
  form.addEventListener("change", soon);
  form.addEventListener("reset", () => setTimeout(() => { fillStatus(); draw(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  fillStatus();
  draw();

  // The overlap kernel.

  if (data.kernel) {
    const { percent, labels } = data.kernel;
    const n = percent.length;
    // Of every label, a tick in the middle of its rows.
    const spans = [];
    (labels || []).forEach((label, i) => (spans.at(-1)?.label === label ? (spans.at(-1).last = i) : spans.push({ label, first: i, last: i })));
    const few = spans.length && spans.length <= 20;
    const ticks = few ? { tickvals: spans.map((s) => (s.first + s.last) / 2), ticktext: spans.map((s) => plain(s.label)), ticks: "" } : { title: { text: "image" } };
    const edges = few ? spans.slice(1).flatMap(({ first }) => [
      { x0: first - 0.5, x1: first - 0.5, y0: -0.5, y1: n - 0.5 }, { y0: first - 0.5, y1: first - 0.5, x0: -0.5, x1: n - 0.5 }]) : [];
    // The diagonal is 100 everywhere; with it on the scale nothing else would show.
    const others = percent.flatMap((row, i) => row.filter((_, j) => i !== j)).sort((a, b) => a - b);
    const named = (i) => (labels ? `${i} (${plain(labels[i])})` : String(i));
    Plotly.newPlot("kernel", [{
      type: "heatmap", z: percent, colorscale: "Cividis", zmin: others[0], zmax: others.at(-1),
      text: percent.map((row, i) => row.map((_, j) => `images ${named(i)} and ${named(j)}`)),
      hovertemplate: "%{text}<br>agree in %{z:.2f} %<extra></extra>",
      colorbar: { title: { text: "agree, %" }, thickness: 14 },
    }], {
      ...base, margin: { l: 60, r: 10, t: 10, b: 60 },
      xaxis: { ...axis, ...ticks, showgrid: false, constrain: "domain", tickangle: few ? -60 : 0 },
      yaxis: { ...axis, ...ticks, showgrid: false, autorange: "reversed", scaleanchor: "x", constrain: "domain" },
      shapes: edges.map((edge) => ({ type: "line", line: { color: "#fff", width: 1 }, ...edge })),
    }, config);
  }

  // Searches: one plot for each kind of value.

  const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#000000", "#e69f00"];
  const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
  for (const objective of new Set(data.trajectories.map((each) => each.objective))) {
    const lines = data.trajectories.filter((each) => each.objective === objective);
    const place = make("div", { className: "plot" });
    by("searches").append(make("h3", {}, `Value: ${objective}`), place);
    Plotly.newPlot(place, lines.map(({ name, x, y }, i) => ({
      type: "scatter", mode: "lines", name: plain(name), x, y,
      line: { shape: "hv", width: 2.5, color: LINES[i % LINES.length], dash: DASHES[i % DASHES.length] },
      hovertemplate: "%{fullData.name}<br>%{x:,.0f} s: %{y:.2f}<extra></extra>",
    })), {
      ...base, showlegend: true, legend: { orientation: "h", y: 1, yanchor: "bottom" }, margin: { l: 60, r: 15, t: 50, b: 55 },
      xaxis: { ...axis, rangemode: "tozero", title: { text: lines.some((each) => each.simulated) ? "simulated seconds" : "seconds of scoring" } },
      yaxis: { ...axis, title: { text: "best so far" } },
    }, config);
  }
})();
