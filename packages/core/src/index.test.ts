import { expect, test } from 'vitest'
import * as core from './index.ts'
import * as testing from './testing/index.ts'

test('the package exports these values and no others', () => {
  expect(Object.keys(core).sort()).toEqual([
    'CapabilityError',
    'ComposeError',
    'DisposedError',
    'KvasirError',
    'OptionError',
    'PlanError',
    'ProvenanceError',
    'ScopeError',
    'ShapeError',
    'checkInteger',
    'checkKeys',
    'checkNumber',
    'checkOneOf',
    'complementSpans',
    'compose',
    'countRunTokens',
    'encodeScope',
    'exact',
    'fixedSelection',
    'indicesOfRow',
    'isExact',
    'isPrivateScope',
    'kvBytesPerToken',
    'mergeSpans',
    'openGuarded',
    'pageTokens',
    'privateScope',
    'requireCapabilities',
    'runsOfIndices',
    'runsOfSpans',
    'runsWithoutSpans',
    'sameScope',
    'scorer',
    'uncoveredRows',
    'validateKvShape',
    'validatePlacePlan',
    'validatePublishPlan',
    'validateRetainPlan',
    'validateReusePlan',
    'validateRopeSpec',
    'validateRowSet',
    'validateRunList',
    'validateScope',
    'validateSelection',
    'validateSpans',
    'withLoss',
  ])
})

test('the test kit exports these values and no others', () => {
  expect(Object.keys(testing).sort()).toEqual([
    'assertClose',
    'assertSameBits',
    'engineSuite',
    'nmse',
    'policySuite',
    'probePolicy',
    'seededRandom',
    'toyEngine',
    'toyTokens',
    'watchPolicy',
  ])
})
