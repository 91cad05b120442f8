// Session config entries, in Node and in a page: this file imports nothing, since a page gets it alone.

/** Entries such as `session.x.y` as onnxruntime takes them in JavaScript: objects in one another. */
export function nested(config) {
  const made = {};
  for (const [key, value] of Object.entries(config)) {
    const names = key.split(".");
    const last = names.pop();
    let inside = made;
    for (const name of names) inside = inside[name] ??= {};
    inside[last] = value;
  }
  return made;
}
