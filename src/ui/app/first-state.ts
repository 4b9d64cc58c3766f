import type { UiState } from './state.ts';

/** The state before anything was looked at. */
export const firstState = (given: Pick<UiState, 'terminal' | 'cwd' | 'nowMs'> & { readonly project?: string | undefined }): UiState => {
  const { project, ...rest } = given;
  return { ...rest, ...(project === undefined ? {} : { project }), screen: 'home', trail: [], places: {}, choices: {}, sources: {}, commands: [] };
};
