/** A node renews its lease every half second. If it is silent for this long, it is stopped, cut off or dead. */
export const NODE_RESPONSIVE_MS = 3000;
