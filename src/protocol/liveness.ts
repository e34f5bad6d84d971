/** A node renews its lease each half second: one that is silent for this long is stopped, cut off or dead. */
export const NODE_RESPONSIVE_MS = 3000;
