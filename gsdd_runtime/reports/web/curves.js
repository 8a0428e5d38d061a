// Curves of a run's log as SVG.

const SVG = "http://www.w3.org/2000/svg";

function drawn(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** Round numbers between two bounds, a few of them. */
function marks(low, high, about = 4) {
  const rough = (high - low) / about || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const found = [];
  for (let mark = Math.ceil(low / step) * step; mark <= high + step * 1e-6; mark += step) found.push(mark);
  return found;
}

function powers(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
    found.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
  }
  const inside = found.filter((mark) => mark >= low && mark <= high);
  return inside.length >= 2 ? inside : marks(low, high);
}

const short = (number) => Number(number.toPrecision(3)).toLocaleString("en-US", { maximumSignificantDigits: 3 });

/** A chart of {title, unit, points: [[step, value], ...]}, or a sentence where it has no two points. */
function chart({ title, unit, points, log }) {
  const [width, height, left, right, top, bottom] = [520, 220, 58, 14, 12, 34];
  const values = points.map(([, value]) => value);
  const logarithmic = log && Math.min(...values) > 0 && Math.max(...values) > 3 * Math.min(...values);
  const bend = logarithmic ? Math.log10 : (value) => value;
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const x = (step) => left + ((step - first) / (last - first || 1)) * (width - left - right);
  const y = (value) => top + ((bend(high) - bend(value)) / (bend(high) - bend(low))) * (height - top - bottom);
  const say = `${title}: ${short(values[0])} at step ${first}, ${short(values[values.length - 1])} at step ${last}`;
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": say, class: "chart" });
  for (const mark of logarithmic ? powers(low, high) : marks(low, high)) {
    svg.append(
      drawn("line", { x1: left, x2: width - right, y1: y(mark), y2: y(mark), class: "grid" }),
      drawn("text", { x: left - 8, y: y(mark) + 4, "text-anchor": "end" }, short(mark)),
    );
  }
  for (const mark of marks(first, last)) {
    if (Number.isInteger(mark)) {
      svg.append(drawn("text", { x: x(mark), y: height - 14, "text-anchor": "middle" }, mark.toLocaleString("en-US")));
    }
  }
  const path = points.map(([step, value], k) => `${k ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  svg.append(drawn("path", { d: path, class: "curve" }));
  for (const [step, value] of points.length < 40 ? points : [points[points.length - 1]]) {
    const dot = drawn("circle", { cx: x(step), cy: y(value), r: 3, class: "dot" });
    dot.append(drawn("title", {}, `step ${step}: ${short(value)}`));
    svg.append(dot);
  }
  const caption = element("figcaption", {}, title, element("span", { className: "quiet" }, unit));
  return element("figure", { className: "curves" }, caption, svg);
}
