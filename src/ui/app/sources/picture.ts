import { sampleLines } from '../../pictures/sample-picture.ts';
import { chosenSample, pictureSpace } from '../samples.ts';
import type { LoadContext, SamplePicture } from '../sources.ts';

/** The sample under the cursor, drawn in half-blocks: what stays in place whatever the terminal is. */
export async function loadPicture({ state }: LoadContext): Promise<SamplePicture | undefined> {
  const sample = chosenSample(state);
  if (!sample) return undefined;
  const classes = (state.sources.dataset?.value?.classes ?? []).map(({ name }) => name);
  return { id: sample.id, lines: await sampleLines(sample, { ...pictureSpace(state.terminal), classes, look: state.terminal }) };
}
