// The page, made of the document in it: every text of a set becomes a text node, never markup.

function element(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) node[key] = value;
  node.append(...children);
  return node;
}

const thumbnails = new Map();
let painter = null;

function makePainter() {
  painter = null;
  if (location.hash !== "#canvas") {
    try {
      painter = WebGLPainter.make(() => { makePainter(); repaint(); });
    } catch (problem) {
      console.warn(problem);
    }
  }
  painter ??= new CanvasPainter();
  document.getElementById("drawn").textContent = `Images are drawn in this page, by ${painter.name}.`;
}

/** The painter; where the GPU refuses an image, the CPU draws it and all others. */
function currentPainter() {
  const own = painter;
  return {
    paint(context, image, view) {
      try {
        own.paint(context, image, view);
      } catch (problem) {
        console.warn(problem);
        painter = new CanvasPainter();
        painter.paint(context, image, view);
      }
    },
  };
}

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      paintThumbnail(target);
      seen.unobserve(target);
    }
  }
}, { rootMargin: "400px" });

function paintThumbnail(canvas) {
  const { gallery, position } = thumbnails.get(canvas);
  const [columns, rows] = [canvas.width, canvas.height];
  gallery.paint(currentPainter(), canvas.getContext("2d"), position, {
    width: columns, height: rows, left: 0, top: 0, columns, rows,
  });
  canvas.dataset.painted = painter.name;
}

function repaint() {
  for (const canvas of thumbnails.keys()) if (canvas.dataset.painted) paintThumbnail(canvas);
  viewer?.paint();
}

function thumbnail(gallery, number, position, label) {
  // Whole multiples of the native size, as large as a finger.
  const ratio = Math.ceil(window.devicePixelRatio || 1);
  const scale = Math.max(1, Math.round(64 / Math.max(gallery.height, gallery.width)));
  const [wide, high] = [gallery.width * scale, gallery.height * scale];
  const shrink = Math.min(1, 96 / Math.max(wide, high));
  const canvas = element("canvas", { width: Math.round(wide * shrink * ratio), height: Math.round(high * shrink * ratio) });
  canvas.style.width = `${wide * shrink}px`;
  canvas.style.height = `${high * shrink}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${label}, image ${gallery.indices[position]} of ${gallery.name}`);
  thumbnails.set(canvas, { gallery, position });
  seen.observe(canvas);
  return element("button", { type: "button", className: "thumbnail", onclick: () => viewer.open(number, position) }, canvas);
}

function table(rows, className = "facts") {
  const lines = rows.map(([name, value]) =>
    element("tr", {}, Object.assign(element("th", {}, name), { scope: "row" }), element("td", {}, value)),
  );
  return element("table", { className }, element("tbody", {}, ...lines));
}

function bytesBar(parts) {
  const all = parts.reduce((sum, part) => sum + part.bytes, 0);
  const bar = element("div", { className: "bar" });
  bar.setAttribute("aria-hidden", "true");
  const rows = parts.map((part, k) => {
    const piece = element("span", { className: `piece piece-${k % 6}`, title: part.name });
    piece.style.flexGrow = part.bytes;
    bar.append(piece);
    const key = element("span", { className: `key piece-${k % 6}` });
    const share = `${((100 * part.bytes) / all).toFixed(1)} %`;
    return element("tr", {}, Object.assign(element("th", {}, key, part.name), { scope: "row" }),
      element("td", { className: "number" }, part.bytes.toLocaleString("en-US")),
      element("td", { className: "number" }, share));
  });
  return element("div", {}, bar, element("table", { className: "bytes" }, element("tbody", {}, ...rows)));
}

function accuracies(rows) {
  if (!rows.length) return element("p", { className: "quiet" }, "None is stored: gsdd-rt eval --store measures it.");
  return element("div", {}, ...rows.map((row) => element("div", { className: "accuracy" },
    element("p", { className: "figure" }, row.figure, element("span", { className: "quiet" }, row.of)),
    element("p", { className: "quiet" }, row.protocol),
  )));
}

function folded(title, content) {
  return element("details", {}, element("summary", {}, title), content);
}

function about(set) {
  const parts = [element("h2", {}, set.name), element("p", { className: "lead" }, set.lead)];
  if (set.status) parts.push(element("p", { className: "status" }, set.status));
  if (set.bytes.length) parts.push(element("h3", {}, "Bytes"), bytesBar(set.bytes));
  if (!set.unfinished) parts.push(element("h3", {}, "Test accuracy"), accuracies(set.accuracy));
  if (set.curves.length) parts.push(element("h3", {}, "The run"), ...set.curves.map(chart));
  if (set.facts.length) parts.push(folded("Everything about it", table(set.facts)));
  if (set.options.length) parts.push(folded("Options of the run", table(set.options)));
  return element("article", { className: "about" }, ...parts);
}

function galleryOf(galleries, classNames) {
  const chosen = document.getElementById("class").value;
  const labels = [...new Set(galleries.flatMap((gallery) => gallery.labels))].sort((a, b) => a - b);
  const shown = chosen === "" ? labels : labels.filter((label) => String(label) === chosen);
  return shown.map((label) => {
    const name = classNames[label] ?? `class ${label}`;
    const rows = galleries.map((gallery, number) => element("div", { className: "row" },
      ...(galleries.length > 1 ? [element("p", { className: "quiet" }, gallery.name)] : []),
      element("div", { className: "images" },
        ...gallery.ofClass(label).map((position) => thumbnail(gallery, number, position, name))),
    ));
    return element("section", { className: "class" }, element("h3", {}, name), ...rows);
  });
}

function fillGallery() {
  for (const canvas of document.querySelectorAll("#gallery canvas")) {
    thumbnails.delete(canvas);
    seen.unobserve(canvas);
  }
  document.getElementById("gallery").replaceChildren(...galleryOf(page.galleries, page.classNames));
}

/** The first image of each class, under the words about its set. */
function fillStrips(sets) {
  for (const [k, set] of sets.entries()) {
    const number = page.galleries.findIndex((gallery) => gallery.of === k);
    const gallery = page.galleries[number];
    if (!gallery) continue;
    const first = [...new Set(gallery.labels)].slice(0, 16).map((label) => gallery.labels.indexOf(label));
    const images = first.map((position) =>
      thumbnail(gallery, number, position, page.classNames[gallery.labels[position]]));
    const strip = element("div", { className: "images strip" }, ...images);
    document.getElementById("sets").children[k].querySelector(".lead").after(strip);
  }
}

const page = { galleries: [], classNames: [] };
let viewer = null;

async function show(content) {
  document.title = content.title;
  document.getElementById("title").textContent = content.title;
  const described = content.sets.map((set, of) => ({ ...set.gallery, of })).concat(content.real ?? []);
  const galleries = await Promise.all(described.filter(({ data }) => data).map(Gallery.open));
  thumbnails.clear();
  seen.disconnect();
  document.getElementById("sets").replaceChildren(...content.sets.map(about));
  page.galleries = galleries;
  page.classNames = content.class_names;
  const choice = document.getElementById("class");
  const chosen = choice.value;
  const labels = [...new Set(page.galleries.flatMap((gallery) => gallery.labels))].sort((a, b) => a - b);
  choice.replaceChildren(element("option", { value: "" }, "all classes"),
    ...labels.map((label) => element("option", { value: String(label) }, page.classNames[label] ?? `class ${label}`)));
  choice.value = labels.map(String).includes(chosen) ? chosen : "";
  document.getElementById("left-out").textContent = page.galleries.map((each) => each.left_out).filter(Boolean).join(" ");
  document.getElementById("images").hidden = page.galleries.length === 0;
  document.getElementById("two").hidden = page.galleries.length < 2;
  fillStrips(content.sets);
  fillGallery();
  viewer.setGalleries(page.galleries, page.classNames);
  document.body.dataset.ready = "true";
}

/** Asks for the document again and again, until the run that it follows has ended. */
async function follow(address, tag = null) {
  const line = document.getElementById("following");
  try {
    const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
    if (answer.ok) {
      const content = await answer.json();
      await show(content);
      tag = answer.headers.get("ETag");
      if (content.ended) {
        line.textContent = "The run has ended.";
        return;
      }
    } else if (answer.status !== 304) {
      throw new Error(`status ${answer.status}`);
    }
    line.textContent = `Follows the run; last looked at ${new Date().toLocaleTimeString()}.`;
  } catch (problem) {
    console.warn(problem);
    line.textContent = "gsdd-rt watch no longer answers: this is what it told last.";
    return;
  }
  setTimeout(() => follow(address, tag), 2000);
}

async function begin() {
  makePainter();
  viewer = new Viewer(document.getElementById("viewer"), currentPainter);
  document.getElementById("class").addEventListener("change", fillGallery);
  const content = JSON.parse(document.getElementById("document").textContent);
  try {
    await show(content);
  } catch (problem) {
    document.getElementById("problem").textContent = `The images cannot be shown here: ${problem.message}`;
    throw problem;
  }
  if (content.follow) follow(content.follow);
}

begin();
