// One image, large: zoom, outlines, the number of Gaussians, another set beside it.

const MOST_ZOOM = 512;

/** A dialog that shows an image of one gallery, and of another beside it. */
class Viewer {
  constructor(dialog, painterOf) {
    this.dialog = dialog;
    this.painterOf = painterOf;
    this.find = (name) => dialog.querySelector(`[data-part="${name}"]`);
    this.galleries = [];
    this.panes = [];
    this.pointers = new Map();
    this.moved = false;
    this.listen();
  }

  /** Galleries by their name on the page, in order. */
  setGalleries(galleries, classNames) {
    this.galleries = galleries;
    this.classNames = classNames;
    const chosen = this.find("beside").value;
    this.find("beside").replaceChildren(
      element("option", { value: "" }, "nothing"),
      ...galleries.map(({ name }, k) => element("option", { value: String(k) }, name)),
    );
    this.find("beside").value = chosen in galleries ? chosen : "";
    this.find("beside").parentElement.hidden = galleries.length < 2;
    if (galleries.length === 0) this.dialog.close();
    if (this.dialog.open) this.show(Math.min(this.gallery, galleries.length - 1), this.position);
  }

  open(gallery, position) {
    this.show(gallery, position);
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.fit();
    }
  }

  /** The image at `position` of a gallery, and its peer in the one beside. */
  show(gallery, position) {
    const shown = this.galleries[gallery];
    this.gallery = gallery;
    this.position = Math.min(position, shown.images.length - 1);
    const label = shown.labels[this.position];
    const panes = [{ gallery: shown, position: this.position }];
    const beside = this.galleries[this.find("beside").value || -1];
    if (beside) {
      const peers = beside.ofClass(label);
      const rank = shown.ofClass(label).indexOf(this.position);
      if (peers.length) panes.push({ gallery: beside, position: peers[rank % peers.length] });
    }
    this.layPanes(panes);
    const most = Math.max(0, ...panes.map(({ gallery: each }) => (each.kind === "gaussians" ? each.count : 0)));
    const slider = this.find("count");
    const whole = !slider.max || slider.value === slider.max;
    slider.max = most;
    if (whole || Number(slider.value) > most) slider.value = most;
    for (const name of ["count", "fewer", "more", "ellipses"]) this.find(name).disabled = most === 0;
    this.find("title").textContent = this.classNames[label] ?? `class ${label}`;
    this.paint();
  }

  layPanes(panes) {
    const stage = this.find("stage");
    while (stage.children.length > panes.length) stage.lastElementChild.remove();
    while (stage.children.length < panes.length) {
      const canvas = element("canvas", { tabIndex: 0 });
      canvas.setAttribute("role", "img");
      stage.append(element("figure", {}, canvas, element("figcaption", {})));
    }
    this.panes = panes.map((pane, k) => ({
      ...pane, canvas: stage.children[k].children[0], caption: stage.children[k].children[1],
    }));
    // Words at once, the rest of them as it is drawn.
    for (const { canvas, gallery, position } of this.panes)
      canvas.setAttribute("aria-label", `${gallery.name}, image ${gallery.indices[position]}`);
  }

  fit() {
    this.zoom = 1;
    this.center = [0.5, 0.5];
    this.paint();
  }

  /** Zooms by a factor around a point, given in parts of the canvas from its middle. */
  zoomBy(factor, [dx, dy] = [0, 0]) {
    const before = this.zoom;
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    const gain = 1 / before - 1 / this.zoom;
    this.moveBy(dx * gain, dy * gain);
  }

  /** Moves the window by parts of the image's side. */
  moveBy(dx, dy) {
    const rim = 0.5 / this.zoom;
    this.center = [this.center[0] + dx, this.center[1] + dy].map((at) => Math.min(1 - rim, Math.max(rim, at)));
    this.paint();
  }

  step(by) {
    const count = this.galleries[this.gallery].images.length;
    this.show(this.gallery, (this.position + by + count) % count);
  }

  countBy(by) {
    const slider = this.find("count");
    slider.value = Number(slider.value) + by;
    this.paint();
  }

  /** The window on an image: its side in device pixels is `zoom` times that of the canvas. */
  view(canvas) {
    const [columns, rows] = [canvas.width, canvas.height];
    const [width, height] = [Math.round(columns * this.zoom), Math.round(rows * this.zoom)];
    const count = Number(this.find("count").value);
    const left = Math.round(this.center[0] * width - columns / 2);
    const top = Math.round(this.center[1] * height - rows / 2);
    return { width, height, left, top, columns, rows, count };
  }

  paint() {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.paintNow());
  }

  paintNow() {
    const ratio = window.devicePixelRatio || 1;
    const stage = this.find("stage");
    for (const { gallery, position, canvas, caption } of this.panes) {
      const { height, width } = gallery;
      const beside = stage.clientWidth > stage.clientHeight ? this.panes.length : 1;
      const above = this.panes.length / beside;
      const room = [stage.clientWidth / beside - 16, stage.clientHeight / above - 48];
      const scale = Math.max(1, Math.min(room[0] / width, room[1] / height));
      canvas.width = Math.round(width * scale * ratio);
      canvas.height = Math.round(height * scale * ratio);
      canvas.style.width = `${canvas.width / ratio}px`;
      canvas.style.height = `${canvas.height / ratio}px`;
      const view = this.view(canvas);
      const context = canvas.getContext("2d");
      gallery.paint(this.painterOf(), context, position, view);
      if (this.find("ellipses").checked && gallery.kind === "gaussians") gallery.outline(context, position, view, ratio);
      caption.textContent = this.words(gallery, position, view);
      canvas.setAttribute("aria-label", `${this.find("title").textContent}: ${caption.textContent}`);
    }
    const zoom = `${Math.round(100 * this.zoom) / 100}×`;
    this.find("zoom").textContent = zoom;
    this.find("number").textContent = this.find("count").value;
  }

  words(gallery, position, view) {
    const size = `${gallery.width} × ${gallery.height}`;
    const made =
      gallery.kind === "gaussians"
        ? `${Math.min(view.count, gallery.count)} of ${gallery.count} Gaussians, drawn at ` +
          `${view.width} × ${view.height}`
        : `${size} pixels, shown in 8 bits`;
    return `${gallery.name}, image ${gallery.indices[position]}: ${made}`;
  }

  listen() {
    const { dialog, find } = this;
    const click = (name, action) => find(name).addEventListener("click", action);
    click("close", () => dialog.close());
    click("previous", () => this.step(-1));
    click("next", () => this.step(1));
    click("in", () => this.zoomBy(1.5));
    click("out", () => this.zoomBy(1 / 1.5));
    click("fit", () => this.fit());
    click("fewer", () => this.countBy(-1));
    click("more", () => this.countBy(1));
    find("count").addEventListener("input", () => this.paint());
    find("ellipses").addEventListener("change", () => this.paint());
    find("beside").addEventListener("change", () => this.show(this.gallery, this.position));
    window.addEventListener("resize", () => dialog.open && this.paint());
    dialog.addEventListener("keydown", (event) => this.keyed(event));
    const stage = find("stage");
    stage.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.pressed(event));
    stage.addEventListener("pointermove", (event) => this.dragged(event));
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
  }

  keyed(event) {
    const field = event.target.matches("input[type=range], select");
    const far = 0.2 / this.zoom;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    const find = this.find;
    const actions = {
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      0: () => this.fit(),
      "[": () => this.countBy(-1),
      "]": () => this.countBy(1),
      e: () => find("ellipses").click(),
    };
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || (field && key.startsWith("Arrow"))) return;
    if (event.shiftKey && key in moves) this.moveBy(...moves[key]);
    else if (key in actions) actions[key]();
    else return;
    event.preventDefault();
  }

  wheeled(event) {
    if (!event.target.matches("canvas")) return;
    event.preventDefault();
    const box = event.target.getBoundingClientRect();
    const at = [(event.clientX - box.left) / box.width - 0.5, (event.clientY - box.top) / box.height - 0.5];
    this.zoomBy(Math.exp(-event.deltaY * 0.002), at);
  }

  pressed(event) {
    if (!event.target.matches("canvas")) return;
    this.pointers.set(event.pointerId, event);
    event.target.setPointerCapture(event.pointerId);
  }

  /** One finger moves the window, two zoom it. */
  dragged(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const box = before.target.getBoundingClientRect();
    const others = [...this.pointers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (others.length === 1) {
      const distance = (one) => Math.hypot(one.clientX - others[0].clientX, one.clientY - others[0].clientY);
      this.zoomBy(distance(event) / Math.max(1, distance(before)));
    } else {
      const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
      this.moveBy(-dx / box.width / this.zoom, -dy / box.height / this.zoom);
    }
  }
}
