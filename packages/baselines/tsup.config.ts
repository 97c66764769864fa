import { library } from '../../tsup.base.ts'
import manifest from './package.json' with { type: 'json' }

const names = Object.keys(manifest.exports).filter((path) => path !== './package.json')

export default library(names.map((path) => `src/${path.slice(2)}.ts`))
