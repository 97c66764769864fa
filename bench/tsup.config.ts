import { library } from '../tsup.base.ts'

export default library(['src/index.ts', 'src/peak-memory-child.ts', 'src/bounded-memory-child.ts'])
