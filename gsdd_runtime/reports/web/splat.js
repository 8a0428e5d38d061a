// The render specification (docs/render-spec.md), twice: in plain JavaScript, and in a WebGL2 shader.
//
// An image is {height, width, channels, parameters: Float32Array, order}: its native size, `6 + channels` numbers a
// Gaussian, and the order that a count of Gaussians is taken in. A view is {width, height} of the whole image in device
// pixels, {left, top} of the window on it, {columns, rows} of that window, {count} of Gaussians, {samples} a side.

const BIAS = 0.5;
const PIXEL_VARIANCE = 1 / 12;
const ALPHA_THRESHOLD = 1 / 255;
const SAMPLES = 2;
// Numbers of a placed Gaussian, three texels: p = p0 + px x, q = q0 + qx x + qy y, opacity, then up to four channels.
// Its alpha at a point is opacity * exp(-(p^2 + q^2) / 2), as sums of squares: along a needle other forms cancel.
const RECORD = 12;
// A tile has numbers of its own, from float64: coordinates within it are small enough for the shader's float32.
const TILE = 64;

/** The Gaussians that touch a rectangle of a view, seen from its corner: records, and the box that each can reach. */
function place(image, view, left, top, columns, rows) {
  const { parameters, channels, order } = image;
  const size = 6 + channels;
  const [scaleX, scaleY] = [view.width / image.width, view.height / image.height];
  const records = [];
  const boxes = [];
  for (const n of order.subarray(0, view.count ?? order.length)) {
    const at = n * size;
    const g = parameters.subarray(at, at + size);
    const opacity = g[size - 1];
    if (!g.every(Number.isFinite) || opacity < ALPHA_THRESHOLD) continue;
    const x = ((g[0] + 1) / 2) * view.width - left;
    const y = ((g[1] + 1) / 2) * view.height - top;
    const a = scaleX * (g[2] + BIAS);
    const b = scaleY * g[3];
    const c = scaleY * (g[4] + BIAS);
    const xx = a * a + PIXEL_VARIANCE;
    const yy = b * b + c * c + PIXEL_VARIANCE;
    const determinant = a * a * c * c + PIXEL_VARIANCE * (a * a + b * b + c * c + PIXEL_VARIANCE);
    // Beyond this many deviations the alpha is below the threshold.
    const reach = Math.sqrt(2 * Math.log(opacity / ALPHA_THRESHOLD));
    const [reachX, reachY] = [reach * Math.sqrt(xx), reach * Math.sqrt(yy)];
    if (x + reachX < 0 || y + reachY < 0 || x - reachX > columns || y - reachY > rows) continue;
    const px = 1 / Math.sqrt(xx);
    const qy = Math.sqrt(xx / determinant);
    const qx = -qy * ((a * b) / xx);
    records.push(px, -px * x, qx, qy, -qx * x - qy * y, opacity, 0, 0);
    for (let channel = 0; channel < 4; channel++) records.push(channel < channels ? g[5 + channel] : 0);
    boxes.push(x - reachX, y - reachY, x + reachX, y + reachY);
  }
  return { records, boxes };
}

/** Numbers of the channels as a picture has them: gray, gray and alpha, RGB, RGBA; 0 to 255. */
function toPicture(values, columns, rows, channels) {
  const picture = new ImageData(columns, rows);
  for (let pixel = 0; pixel < columns * rows; pixel++) {
    const value = (channel) => values[pixel * channels + channel] * 255;
    for (let channel = 0; channel < 3; channel++) {
      picture.data[pixel * 4 + channel] = value(channels < 3 ? 0 : channel);
    }
    picture.data[pixel * 4 + 3] = channels % 2 ? 255 : value(channels - 1);
  }
  return picture;
}

/** Draws in float64 on the CPU. */
class CanvasPainter {
  name = "Canvas";

  /** Values of a view, not clamped: Float64Array, rows of columns of channels. */
  values(image, view) {
    const { columns, rows } = view;
    const { channels } = image;
    const samples = view.samples ?? SAMPLES;
    const values = new Float64Array(columns * rows * channels);
    const { records, boxes } = place(image, view, view.left, view.top, columns, rows);
    for (let n = 0; n < boxes.length / 4; n++) {
      const [px, p0, qx, qy, q0, opacity] = records.slice(n * RECORD, n * RECORD + 6);
      const color = records.slice(n * RECORD + 8, n * RECORD + 8 + channels);
      const [left, top] = [Math.max(0, Math.floor(boxes[n * 4])), Math.max(0, Math.floor(boxes[n * 4 + 1]))];
      const right = Math.min(columns, Math.ceil(boxes[n * 4 + 2]));
      const bottom = Math.min(rows, Math.ceil(boxes[n * 4 + 3]));
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          let sum = 0;
          for (let sample = 0; sample < samples * samples; sample++) {
            const x = column + ((sample % samples) + 0.5) / samples;
            const y = row + (Math.floor(sample / samples) + 0.5) / samples;
            const p = p0 + px * x;
            const q = q0 + qx * x + qy * y;
            const alpha = opacity * Math.exp(-0.5 * (p * p + q * q));
            if (alpha >= ALPHA_THRESHOLD) sum += Math.min(1, alpha);
          }
          const at = (row * columns + column) * channels;
          for (let c = 0; c < channels; c++) values[at + c] += (sum / (samples * samples)) * color[c];
        }
      }
    }
    return values;
  }

  paint(context, image, view) {
    const { columns, rows } = view;
    context.putImageData(toPicture(this.values(image, view), columns, rows, image.channels), 0, 0);
  }
}

const VERTEX = `#version 300 es
in vec4 tile;
in uvec2 range;
uniform vec2 size;
flat out vec2 origin;
flat out uvec2 gaussians;

void main() {
  vec2 corner = tile.xy + tile.zw * vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(corner / size * 2.0 - 1.0, 0, 1) * vec4(1, -1, 1, 1);
  origin = tile.xy;
  gaussians = range;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
uniform sampler2D records;
uniform vec2 size;
uniform int samples;
uniform int channels;
uniform bool raw;
flat in vec2 origin;
flat in uvec2 gaussians;
out vec4 color;

vec4 part(uint record, uint k) {
  uint texel = record * 3u + k;
  uint width = uint(textureSize(records, 0).x);
  return texelFetch(records, ivec2(texel % width, texel / width), 0);
}

void main() {
  vec2 pixel = floor(vec2(gl_FragCoord.x, size.y - gl_FragCoord.y)) - origin;
  vec4 value = vec4(0);
  for (uint n = gaussians.x; n < gaussians.x + gaussians.y; n++) {
    vec4 first = part(n, 0u);
    vec4 second = part(n, 1u);
    float sum = 0.0;
    for (int sampled = 0; sampled < samples * samples; sampled++) {
      vec2 at = pixel + (vec2(sampled % samples, sampled / samples) + 0.5) / float(samples);
      float p = first.y + first.x * at.x;
      float q = second.x + first.z * at.x + first.w * at.y;
      float alpha = second.y * exp(-0.5 * (p * p + q * q));
      sum += alpha >= 1.0 / 255.0 ? min(1.0, alpha) : 0.0;
    }
    value += sum / float(samples * samples) * part(n, 2u);
  }
  color = raw ? value : vec4(channels < 3 ? value.rrr : value.rgb, channels == 2 ? value.g : channels == 4 ? value.a : 1.0);
}`;

/** Draws with WebGL2, tile by tile, in float32. */
class WebGLPainter {
  name = "WebGL2";

  /** A painter; null where there is no WebGL2. `lost` is called once its context is. */
  static make(lost = () => {}) {
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, premultipliedAlpha: false });
    if (!gl) return null;
    canvas.addEventListener("webglcontextlost", lost);
    return new WebGLPainter(canvas, gl);
  }

  constructor(canvas, gl) {
    this.canvas = canvas;
    this.gl = gl;
    this.width = 3 * Math.floor(Math.min(2048, gl.getParameter(gl.MAX_TEXTURE_SIZE)) / 3);
    this.limit = (this.width / 3) * gl.getParameter(gl.MAX_TEXTURE_SIZE);
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.uniform = (name) => gl.getUniformLocation(program, name);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.tile = this.attribute(program, "tile");
    this.range = this.attribute(program, "range");
  }

  attribute(program, name) {
    const { gl } = this;
    const [place, buffer] = [gl.getAttribLocation(program, name), gl.createBuffer()];
    gl.enableVertexAttribArray(place);
    gl.vertexAttribDivisor(place, 1);
    return { place, buffer };
  }

  draw(image, view, raw) {
    const { gl } = this;
    const { columns, rows } = view;
    const [records, tiles, ranges] = [[], [], []];
    for (let y = 0; y < rows; y += TILE) {
      for (let x = 0; x < columns; x += TILE) {
        const [wide, high] = [Math.min(TILE, columns - x), Math.min(TILE, rows - y)];
        const placed = place(image, view, view.left + x, view.top + y, wide, high).records;
        tiles.push(x, y, wide, high);
        ranges.push(records.length / RECORD, placed.length / RECORD);
        for (const number of placed) records.push(number);
      }
    }
    if (records.length / RECORD > this.limit) throw new Error("too many Gaussians for the GPU");
    const height = Math.max(1, Math.ceil(records.length / 4 / this.width));
    const texture = new Float32Array(this.width * height * 4);
    texture.set(records);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, this.width, height, 0, gl.RGBA, gl.FLOAT, texture);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.tile.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(tiles), gl.DYNAMIC_DRAW);
    gl.vertexAttribPointer(this.tile.place, 4, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.range.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, new Uint32Array(ranges), gl.DYNAMIC_DRAW);
    gl.vertexAttribIPointer(this.range.place, 2, gl.UNSIGNED_INT, 0, 0);
    gl.uniform2f(this.uniform("size"), columns, rows);
    gl.uniform1i(this.uniform("samples"), view.samples ?? SAMPLES);
    gl.uniform1i(this.uniform("channels"), image.channels);
    gl.uniform1i(this.uniform("raw"), raw);
    gl.viewport(0, 0, columns, rows);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, tiles.length / 4);
  }

  /** Values of a view, not clamped, as CanvasPainter has them; null where the GPU draws no floats. */
  values(image, view) {
    const { gl } = this;
    const { columns, rows } = view;
    if (!gl.getExtension("EXT_color_buffer_float")) return null;
    const [frame, target] = [gl.createFramebuffer(), gl.createRenderbuffer()];
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.bindRenderbuffer(gl.RENDERBUFFER, target);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.RGBA32F, columns, rows);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, target);
    this.draw(image, view, true);
    const read = new Float32Array(columns * rows * 4);
    gl.readPixels(0, 0, columns, rows, gl.RGBA, gl.FLOAT, read);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(frame);
    gl.deleteRenderbuffer(target);
    const values = new Float64Array(columns * rows * image.channels);
    for (let at = 0; at < values.length; at++) {
      const [pixel, channel] = [Math.floor(at / image.channels), at % image.channels];
      const row = rows - 1 - Math.floor(pixel / columns);
      values[at] = read[(row * columns + (pixel % columns)) * 4 + channel];
    }
    return values;
  }

  paint(context, image, view) {
    const { columns, rows } = view;
    if (this.canvas.width < columns) this.canvas.width = columns;
    if (this.canvas.height < rows) this.canvas.height = rows;
    this.draw(image, view, false);
    context.clearRect(0, 0, columns, rows);
    // The viewport begins at the lower left.
    context.drawImage(this.canvas, 0, this.canvas.height - rows, columns, rows, 0, 0, columns, rows);
  }
}
