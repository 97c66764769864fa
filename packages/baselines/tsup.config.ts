import { library } from '../../tsup.base.ts'

export default library(['src/full.ts', 'src/window.ts', 'src/random.ts', 'src/oracle.ts'])
