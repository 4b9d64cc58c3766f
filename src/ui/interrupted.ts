/** A signal that the first Ctrl-C, or whoever ends this process, aborts: work in this very process comes to its end by itself. */
export function interrupted(): AbortSignal {
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  return ending.signal;
}
