#!/usr/bin/env node
import { exitCodes } from './failure.ts'
import { main } from './main.ts'

// A reader that has enough, such as `head`, ends the command without a word.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(exitCodes.done)
})

process.exitCode = await main(process.argv.slice(2))
