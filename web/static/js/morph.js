// Make one tree of elements like another, keeping every node that can stay: focus, scroll positions and pictures stay too.

/** Elements with `data-keep` are left to their scripts once they are there. */
export function morph(here, wanted) {
  if (here.nodeType === Node.TEXT_NODE) {
    if (here.nodeValue !== wanted.nodeValue) here.nodeValue = wanted.nodeValue;
    return;
  }
  if (here.nodeType !== Node.ELEMENT_NODE || (here.hasAttribute("data-keep") && wanted.hasAttribute("data-keep"))) return;
  attributes(here, wanted);
  children(here, wanted);
}

function attributes(here, wanted) {
  for (const { name } of [...here.attributes]) {
    if (!wanted.hasAttribute(name) && !kept(here, name)) here.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (here.getAttribute(name) !== value && !kept(here, name)) here.setAttribute(name, value);
  }
}

function kept(here, name) {
  return name === "open" && here.localName === "details";
}

function children(here, wanted) {
  const byId = new Map([...here.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = here.firstChild;
  for (const child of [...wanted.childNodes]) {
    let match = child.id ? byId.get(child.id) : null;
    if (!match && next && alike(next, child)) match = next;
    if (match && match.localName === child.localName) {
      if (match === next) next = next.nextSibling;
      else here.insertBefore(match, next);
      morph(match, child);
    } else {
      here.insertBefore(document.importNode(child, true), next);
    }
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function alike(here, wanted) {
  return here.nodeType === wanted.nodeType && here.localName === wanted.localName && !here.id && !wanted.id;
}
