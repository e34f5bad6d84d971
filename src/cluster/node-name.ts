/** The name in `<name>:<incarnation>`, the form that tells a node from its earlier starts. */
export function nameOf(node: string): string {
  const at = node.lastIndexOf(':');
  return at === -1 ? node : node.slice(0, at);
}

export function incarnationOf(node: string): string {
  return node.slice(node.lastIndexOf(':') + 1);
}
