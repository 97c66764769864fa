import { blockSuite, joinBySoftmax, scoreOfMean } from './block-suite.ts'
import { fixedChunks } from './chunk.ts'

blockSuite({ make: fixedChunks, sizeKey: 'sizeTokens', numVectors: 1, score: scoreOfMean, join: joinBySoftmax })
