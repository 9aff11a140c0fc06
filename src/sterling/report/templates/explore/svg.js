// A canvas that writes down what is painted on it, as SVG.

const ANCHORS = { left: "start", center: "middle", right: "end" };

/** What the page's charts use of a 2D context. */
class Pen {
  parts = [];
  path = [];
  dashes = [];
  globalAlpha = 1;
  lineWidth = 1;
  textAlign = "left";

  add(what, looks) {
    this.parts.push(`<${what} opacity="${this.globalAlpha}" ${looks}`);
  }
  beginPath() {
    this.path = [];
  }
  moveTo(x, y) {
    this.path.push(`M${round(x)} ${round(y)}`);
  }
  lineTo(x, y) {
    this.path.push(`${this.path.length ? "L" : "M"}${round(x)} ${round(y)}`);
  }
  arc(x, y, radius) {  // whole circles only
    const r = round(radius), [left, right] = [round(x - radius), round(x + radius)];
    this.path.push(`M${left} ${round(y)}A${r} ${r} 0 1 1 ${right} ${round(y)}A${r} ${r} 0 1 1 ${left} ${round(y)}`);
  }
  fill() {
    this.add("path", `d="${this.path.join("")}" fill="${this.fillStyle}"/>`);
  }
  stroke() {
    const dashes = this.dashes.length ? ` stroke-dasharray="${this.dashes.join(" ")}"` : "";
    this.add("path", `d="${this.path.join("")}" fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"${dashes}/>`);
  }
  fillRect(x, y, width, height) {
    this.add("rect", `x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${this.fillStyle}"/>`);
  }
  setLineDash(dashes) {
    this.dashes = dashes;
  }
  fillText(text, x, y) {
    const looks = `text-anchor="${ANCHORS[this.textAlign]}" fill="${this.fillStyle}"`;
    this.add("text", `x="${round(x)}" y="${round(y)}" ${looks}>${text}</text>`);
  }
}

const round = (x) => Math.round(100 * x) / 100;

/** An SVG file of canvases below each other, as `draw(…canvases)` paints on such of these sizes, on a ground of one colour. */
export function svg(sizes, draw, ground) {
  const pens = sizes.map(() => new Pen()), width = Math.max(...sizes.map((one) => one.width));
  draw(...sizes.map((size, i) => ({ drawn: { context: pens[i], ...size } })));
  let y = 0;
  const groups = pens.map(({ parts }, i) => {
    const group = `<g transform="translate(0 ${y})">\n${parts.join("\n")}\n</g>`;
    y += sizes[i].height;
    return group;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="${ground}"/>\n${groups.join("\n")}\n</svg>\n`;
}
