import { useApp, useInput } from 'ink';
import { useSyncExternalStore } from 'react';
import { keyNames } from '../keys.ts';
import type { Lent } from '../open-app.tsx';
import type { AppStore } from '../store.ts';
import { Frame } from './frame.tsx';

/** Where the terminal meets the store: keys go in as actions, the state comes out as a picture. Nothing below knows of either. */
export function Root({ store, lent }: { readonly store: AppStore; readonly lent: Lent }) {
  lent.app = useApp();
  useInput((input, key) => {
    for (const name of keyNames(input, key)) store.dispatch({ type: 'key', key: name });
  });
  return <Frame state={useSyncExternalStore(store.subscribe, store.state)} />;
}
