/** nonce is that of this page: styles that scripts make carry it, or the browser does not take them. */
export function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="hawser-nonce"]')?.content ?? '';
}
