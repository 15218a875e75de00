(() => {
  const root = document.documentElement, media = matchMedia('(prefers-color-scheme: dark)');
  const stored = () => { try { return localStorage.getItem('hawser-theme'); } catch { return null; } };
  const show = () => { root.dataset.theme = stored() || (media.matches ? 'dark' : 'light'); };
  media.addEventListener('change', show);
  show();
  addEventListener('DOMContentLoaded', () => {
    document.getElementById('theme').addEventListener('click', () => {
      try { localStorage.setItem('hawser-theme', root.dataset.theme === 'dark' ? 'light' : 'dark'); } catch { /* not remembered */ }
      show();
    });
    const search = document.getElementById('search'), none = document.getElementById('none');
    const ops = [...document.querySelectorAll('article')].map(a => ({ a, link: document.querySelector(`nav a[href="#${a.id}"]`).parentElement, text: a.textContent.toLowerCase() }));
    const groups = [...document.querySelectorAll('main > section, nav section')];
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      for (const { a, link, text } of ops) {
        const hit = words.every(w => text.includes(w));
        a.hidden = link.hidden = !hit;
        left += hit;
      }
      for (const g of groups) g.hidden = words.length > 0 && !g.querySelector('article:not([hidden]), li:not([hidden])');
      none.hidden = left > 0;
    };
    search.addEventListener('input', filter);
    addEventListener('keydown', e => {
      if (e.key === '/' && document.activeElement !== search) { e.preventDefault(); search.focus(); }
      if (e.key === 'Escape' && document.activeElement === search) { search.value = ''; filter(); search.blur(); }
    });
    for (const box of document.querySelectorAll('.copy')) {
      const b = document.createElement('button');
      b.textContent = 'Copy';
      b.addEventListener('click', () => navigator.clipboard.writeText(box.querySelector('code').textContent).then(() => { b.textContent = 'Copied'; setTimeout(() => { b.textContent = 'Copy'; }, 1500); }));
      if (navigator.clipboard) box.append(b);
    }
  });
})();
