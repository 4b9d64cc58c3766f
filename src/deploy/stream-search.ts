/** One try: so many streams, and the lowest mean rate among them. */
export interface StreamTrial {
  readonly streams: number;
  readonly fps: number;
  readonly good: boolean;
}

/**
 * The highest number of streams that each reach `fps`: doubled until one does not, then bisected; every number is tried at most once. `best` is 0 where not even one does;
 * `limited` where `most` was still good.
 */
export async function searchStreams(
  rate: (streams: number) => Promise<number>,
  { fps, most }: { readonly fps: number; readonly most: number },
): Promise<{ readonly best: number; readonly limited: boolean; readonly trials: readonly StreamTrial[] }> {
  const trials: StreamTrial[] = [];
  const good = async (streams: number): Promise<boolean> => {
    const seen = await rate(streams);
    trials.push({ streams, fps: seen, good: seen >= fps });
    return seen >= fps;
  };
  let [best, bad] = [0, most + 1];
  for (let streams = 1; streams < bad; streams = Math.min(most, streams * 2)) {
    if (!(await good(streams))) bad = streams;
    else best = streams;
    if (best === most) break;
  }
  while (bad - best > 1 && bad <= most) {
    const middle = Math.floor((best + bad) / 2);
    if (await good(middle)) best = middle;
    else bad = middle;
  }
  return { best, limited: best === most, trials };
}
