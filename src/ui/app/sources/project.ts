import { openProject } from '../../../pipeline/project.ts';
import type { LoadContext, ProjectView } from '../sources.ts';

/** The project file, checked. Throws `project-invalid` with the line. */
export const loadProject = async ({ folder }: LoadContext): Promise<ProjectView> => openProject({ folder });
