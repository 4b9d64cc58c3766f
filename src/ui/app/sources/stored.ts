import { join } from 'node:path';
import { Store } from '../../../core/store.ts';
import { openProject } from '../../../pipeline/project.ts';
import { type DatasetView, datasetView } from '../../../pipeline/views/dataset.ts';
import { type ExportedView, exportedView } from '../../../pipeline/views/exported.ts';
import { type ReportView, reportsView } from '../../../pipeline/views/reports.ts';
import { type StageView, trainingView } from '../../../pipeline/views/training.ts';
import type { LoadContext } from '../sources.ts';

const storeOf = ({ folder }: LoadContext): Store => new Store(join(folder, '.edgeforge'));

/** What the last import found; undefined where there was none. */
export const loadDataset = (context: LoadContext): Promise<DatasetView | undefined> => datasetView(storeOf(context));
/** The trainings as they ended last. */
export const loadTraining = (context: LoadContext): Promise<readonly StageView[]> => trainingView(storeOf(context), openProject(context).settings);
/** Ranges and artifacts of the network that is deployed. */
export const loadExported = (context: LoadContext): Promise<ExportedView> => exportedView(storeOf(context), Object.keys(openProject(context).settings.devices));
/** The reports of the project's runs, newest first. */
export const loadReports = ({ folder }: LoadContext): Promise<readonly ReportView[]> => reportsView(folder);
