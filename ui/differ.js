// What two texts on the screen do not have in common, word by word.

const WORD = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}][\p{L}\p{N}_'’.,-]*[\p{L}\p{N}]|[\p{L}\p{N}]/gu;
/** More words than this are compared as sets. */
const MOST = 4000;
const FURTHEST = 1500;

/** The words of an element with their places, those of buttons and captions left out. */
function words(element) {
  const found = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, {
    acceptNode: (node) => (node.nodeType === 3 ? NodeFilter.FILTER_ACCEPT
      : node.tagName === "FIGCAPTION" ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP),
  });
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const word of node.data.matchAll(WORD)) {
      found.push({ node, from: word.index, to: word.index + word[0].length, key: word[0].toLowerCase() });
    }
  }
  return found;
}

/** Which of `a` and of `b` are in their longest common sequence (Myers), or in both as sets. */
export function common(a, b) {
  const inA = new Uint8Array(a.length), inB = new Uint8Array(b.length);
  const sets = () => {
    const left = new Set(a), right = new Set(b);
    a.forEach((word, place) => (inA[place] = right.has(word) ? 1 : 0));
    b.forEach((word, place) => (inB[place] = left.has(word) ? 1 : 0));
    return [inA, inB];
  };
  if (a.length > MOST || b.length > MOST) return sets();
  const most = Math.min(a.length + b.length, FURTHEST), zero = most + 1;
  const furthest = new Int32Array(2 * most + 3);
  const trace = [];
  for (let d = 0; d <= most; d++) {
    // What was known before this step: all that the way back needs.
    trace.push(furthest.slice(zero - d - 1, zero + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && furthest[zero + k - 1] < furthest[zero + k + 1]);
      let x = down ? furthest[zero + k + 1] : furthest[zero + k - 1] + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      furthest[zero + k] = x;
      if (x >= a.length && x - k >= b.length) {
        back(trace, d, inA, inB);
        return [inA, inB];
      }
    }
  }
  return sets();
}

function back(trace, steps, inA, inB) {
  let x = inA.length, y = inB.length;
  for (let d = steps; d >= 0; d--) {
    const at = (k) => trace[d][k + d + 1];
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const before = down ? k + 1 : k - 1;
    const beforeX = at(before), beforeY = beforeX - before;
    while (x > beforeX && y > beforeY && x > 0 && y > 0) {
      inA[--x] = 1;
      inB[--y] = 1;
    }
    x = beforeX;
    y = beforeY;
  }
}

/** Puts a mark around the words that are not common; neighbours share one. */
function wrap(found, kept, name) {
  let place = found.length - 1;
  while (place >= 0) {
    if (kept[place]) {
      place--;
      continue;
    }
    let first = place;
    while (first > 0 && !kept[first - 1] && found[first - 1].node === found[place].node) first--;
    const range = document.createRange();
    range.setStart(found[first].node, found[first].from);
    range.setEnd(found[place].node, found[place].to);
    const mark = document.createElement("mark");
    mark.className = name;
    range.surroundContents(mark);
    place = first - 1;
  }
}

/** Marks in two elements what the other does not say; gives how alike they are, from 0 to 1. */
export function mark(left, right) {
  clear(left);
  clear(right);
  const a = words(left), b = words(right);
  const [inA, inB] = common(a.map((word) => word.key), b.map((word) => word.key));
  const shared = inA.reduce((sum, one) => sum + one, 0);
  wrap(a, inA, "only-answer");
  wrap(b, inB, "only-draft");
  return a.length + b.length === 0 ? 1 : (2 * shared) / (a.length + b.length);
}

/** Takes the marks away again. */
export function clear(element) {
  for (const mark of element.querySelectorAll("mark.only-answer, mark.only-draft")) {
    const parent = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    parent.normalize();
  }
}
