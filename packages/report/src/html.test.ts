import { expect, test } from 'vitest'
import { html } from './html.ts'

test('values are escaped, in content and in attributes', () => {
  expect(html`<p title="${'a"b'}">${'<script>&'}</p>`.markup).toBe('<p title="a&quot;b">&lt;script&gt;&amp;</p>')
})

test('markup goes in as it is, lists one after the other, null not at all', () => {
  expect(html`<ul>${[1, 2].map((i) => html`<li>${i}</li>`)}${null}</ul>`.markup).toBe('<ul><li>1</li><li>2</li></ul>')
})

test('control characters, which no document may hold, are replaced', () => {
  expect(html`${'a\u0000b\u001bc\nd'}`.markup).toBe('a\ufffdb\ufffdc\nd')
})
