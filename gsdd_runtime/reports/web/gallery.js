// Images of a set: unpacked from the page, and drawn at any size.

/** Bytes of what Python's zlib and base64 packed. */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** bfloat16 numbers whose high bytes come first, then the low ones, of all images parameter by parameter. */
function fromPlanes(bytes, images, count, size) {
  const numbers = images * count * size;
  const bits = new Uint32Array(numbers);
  for (let image = 0, to = 0; image < images; image++) {
    for (let n = 0; n < count; n++) {
      for (let p = 0; p < size; p++, to++) {
        const from = (p * images + image) * count + n;
        bits[to] = ((bytes[from] << 8) | bytes[numbers + from]) << 16;
      }
    }
  }
  return new Float32Array(bits.buffer);
}

/** Numbers of the Gaussians, those first that put most light into the image. */
function byWeight(parameters, channels) {
  const size = 6 + channels;
  const weights = new Float64Array(parameters.length / size);
  for (let n = 0; n < weights.length; n++) {
    const g = parameters.subarray(n * size, n * size + size);
    const area = Math.abs((g[2] + BIAS) * (g[4] + BIAS)) + PIXEL_VARIANCE;
    const light = g.subarray(5, 5 + channels).reduce((sum, value) => sum + Math.abs(value), 0);
    weights[n] = Math.min(1, Math.max(0, g[size - 1])) * area * light;
  }
  return Uint32Array.from(weights.keys()).sort((one, other) => weights[other] - weights[one] || one - other);
}

/** The images of one set as the page draws them. */
class Gallery {
  static async open(described) {
    const bytes = await unpacked(described.data);
    return new Gallery(described, bytes);
  }

  constructor(described, bytes) {
    Object.assign(this, described);
    const { height, width, channels, count } = described;
    const images = described.labels.length;
    if (described.kind === "gaussians") {
      const size = 6 + channels;
      const all = fromPlanes(bytes, images, count, size);
      this.images = described.labels.map((_, image) => {
        const parameters = all.subarray(image * count * size, (image + 1) * count * size);
        return { height, width, channels, parameters, order: byWeight(parameters, channels) };
      });
    } else {
      const length = height * width * channels;
      this.images = described.labels.map((_, image) => {
        const values = Float32Array.from(bytes.subarray(image * length, (image + 1) * length), (value) => value / 255);
        return { height, width, channels, picture: toPicture(values, width, height, channels) };
      });
    }
  }

  /** Positions here of the images of a class. */
  ofClass(label) {
    return this.labels.flatMap((own, position) => (own === label ? [position] : []));
  }

  paint(painter, context, position, view) {
    const image = this.images[position];
    if (this.kind === "gaussians") {
      painter.paint(context, image, view);
      return;
    }
    image.bitmap ??= drawnOnce(image.picture);
    context.clearRect(0, 0, view.columns, view.rows);
    // Pixels stay pixels.
    context.imageSmoothingEnabled = false;
    context.drawImage(image.bitmap, -view.left, -view.top, view.width, view.height);
  }

  /** The outline of each Gaussian at one deviation, dashed where it darkens. */
  outline(context, position, view, ratio) {
    const { parameters, channels, order } = this.images[position];
    const size = 6 + channels;
    const [scaleX, scaleY] = [view.width / this.width, view.height / this.height];
    for (const n of order.subarray(0, view.count ?? order.length)) {
      const g = parameters.subarray(n * size, n * size + size);
      if (g[size - 1] < ALPHA_THRESHOLD) continue;
      const x = ((g[0] + 1) / 2) * view.width - view.left;
      const y = ((g[1] + 1) / 2) * view.height - view.top;
      context.save();
      context.translate(x, y);
      context.transform(scaleX * (g[2] + BIAS), scaleY * g[3], 0, scaleY * (g[4] + BIAS), 0, 0);
      context.beginPath();
      context.arc(0, 0, 1, 0, 2 * Math.PI);
      context.restore();
      const light = g.subarray(5, 5 + channels).reduce((sum, value) => sum + value, 0);
      context.setLineDash(light < 0 ? [4 * ratio, 3 * ratio] : []);
      for (const [width, color] of [[3, "rgb(0 0 0 / 0.6)"], [1.25, light < 0 ? "#7cc4ff" : "#ffd54a"]]) {
        context.lineWidth = width * ratio;
        context.strokeStyle = color;
        context.stroke();
      }
    }
    context.setLineDash([]);
  }
}

function drawnOnce(picture) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
