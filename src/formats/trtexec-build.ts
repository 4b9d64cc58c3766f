import { trtexecLine } from './trtexec.ts';

/** How far an engine build is: `done` of `total`, never backwards as a share. Carries its whole state, so a build can be picked up again from its log. */
export interface BuildState {
  readonly done: number;
  readonly total: number;
  readonly message: string;
}
export const buildStart: BuildState = { done: 0, total: 100, message: 'starting trtexec' };

// Parsing is the first tenth, timing tactics the next eight, the rest serializes. With --verbose the timed layers are counted; without it TensorRT is silent there.
const stages: readonly (readonly [RegExp, number, string])[] = [
  [/^Start parsing network model/, 0.02, 'parsing the network'],
  [/^Finish(?:ed)? parsing network model/, 0.08, 'optimizing the graph'],
  [/^\[TRT\] (?:Local|Global) timing cache in use/, 0.1, 'timing tactics'],
  [/^\[TRT\] Detected \d{1,6} inputs and \d{1,6} output network tensors/, 0.9, 'assembling the engine'],
  [/^\[TRT\] Engine generation completed in/, 0.94, 'serializing the engine'],
  [/^Created engine with size/, 0.97, 'saving the engine'],
  [/^Engine (?:built|loaded) in/, 1, 'engine ready'],
];

/** The state after one more line of trtexec's output; the same object where the line says nothing about progress. */
export function advanceBuild(line: string, state: BuildState): BuildState {
  const { level, text } = trtexecLine(line);
  if (level === 'V') return advanceVerbose(text, state);
  if (level !== 'I') return state;
  const stage = stages.find(([pattern]) => pattern.test(text));
  if (stage === undefined) return state;
  return forward(state, Math.round(stage[1] * state.total), state.total, stage[2]);
}

function advanceVerbose(text: string, state: BuildState): BuildState {
  const [, layers] = /^\[TRT\] After (?:final dead-layer|concat) removal: (\d{1,6}) layers$/.exec(text) ?? [];
  // The count of layers is the unit of the timing stage: total = layers / 0.8, so that one layer is one step.
  if (layers !== undefined && Number(layers) > 0 && state.done / state.total < 0.9) {
    const total = Math.max(state.total, Math.ceil(Number(layers) / 0.8));
    return { ...state, done: Math.round((state.done / state.total) * total), total };
  }
  // 8.0 names a layer only where it times it; later releases announce it first, so the second mention changes nothing.
  const [, announced, timed] = /^\[TRT\] (?:=+ Computing costs for (.{1,200})|-+ Timing Runner: (.{1,200}) \(\w{1,60})/.exec(text) ?? [];
  const name = announced ?? timed;
  if (name === undefined || /[Rr]eformat/.test(name) || state.message === `timing ${name.trim()}`) return state;
  return forward(state, Math.min(state.done + 1, Math.floor(0.89 * state.total)), state.total, `timing ${name.trim()}`);
}

const forward = (state: BuildState, done: number, total: number, message: string): BuildState => ({ done: Math.max(done, state.done), total, message });
