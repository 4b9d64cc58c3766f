import { expect, test } from 'vitest';
import { Recipe } from '../../src/core/recipe.ts';
import { Toy, toySteps } from './toy-build.ts';

const steps = toySteps(new Toy());

test('what the compiler refuses', () => {
  const recipe = new Recipe();
  const { dataset } = recipe.add(steps.importDataset, { config: { seed: 1 }, inputs: {} });
  const { network } = recipe.add(steps.train, { config: { epochs: 1 }, inputs: { dataset } });
  const wrong: (() => unknown)[] = [
    // @ts-expect-error a dataset is no network
    () => recipe.add(steps.prune, { id: 'a', config: { threshold: 1 }, inputs: { network: dataset } }),
    // @ts-expect-error train needs a dataset
    () => recipe.add(steps.train, { id: 'b', config: { epochs: 1 }, inputs: {} }),
    // @ts-expect-error `epoch` is no setting of train
    () => recipe.add(steps.train, { id: 'c', config: { epoch: 1 }, inputs: { dataset } }),
    // @ts-expect-error handles come from `add` alone
    () => recipe.add(steps.train, { id: 'd', config: { epochs: 1 }, inputs: { dataset: { kind: 'dataset', node: { ...network.node }, output: 'dataset' } } }),
    // @ts-expect-error a list wants a list
    () => recipe.add(steps.report, { id: 'e', config: {}, inputs: { scores: network } }),
  ];
  for (const add of wrong) expect(add).toThrow(expect.objectContaining({ name: 'EdgeError' }));
  recipe.add(steps.prune, { config: { threshold: 1 }, inputs: { network } });
  expect(recipe.nodes.map(node => node.id)).toEqual(['import-dataset', 'train', 'prune']);
});

test('settings that do not fit, twins and strangers are refused with where', () => {
  const recipe = new Recipe();
  const { dataset } = recipe.add(steps.importDataset, { config: { seed: 1 }, inputs: {} });
  expect(() => recipe.add(steps.train, { config: { epochs: 1.5 }, inputs: { dataset } })).toThrow(
    expect.objectContaining({ code: 'project-invalid', where: { path: 'train.epochs' } }),
  );
  expect(() => recipe.add(steps.importDataset, { config: { seed: 1 }, inputs: {} })).toThrow(/Two steps are called "import-dataset"/);
  expect(() => new Recipe().add(steps.train, { config: { epochs: 1 }, inputs: { dataset } })).toThrow(/another recipe/);
});
