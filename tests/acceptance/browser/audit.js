// What a page must hold for everybody, as a function of the width it is shown at: answers what is wrong.
(width => {
  const wrong = [];
  const must = (holds, text) => { if (!holds) wrong.push(text); };
  const all = selector => [...document.querySelectorAll(selector)];
  const shown = element => element.checkVisibility() && element.getClientRects().length > 0;
  const name = element => `<${element.localName}> ${(element.id || element.innerText || '').trim().slice(0, 40)}`;

  // Structure.
  must(document.documentElement.lang === 'en', 'the language is not told');
  must(document.title.trim().length > 10, `the title is ${JSON.stringify(document.title)}`);
  must(all('h1').length === 1, `${all('h1').length} headings of the first level`);
  must(all('main').length === 1, `${all('main').length} main landmarks`);
  const levels = all('h1, h2, h3, h4').map(heading => Number(heading.localName[1]));
  levels.forEach((level, at) => must(at === 0 || level <= levels[at - 1] + 1, `a heading of level ${level} after ${levels[at - 1]}`));
  const ids = all('[id]').map(element => element.id);
  must(new Set(ids).size === ids.length, `ids are not unique: ${ids}`);
  for (const attribute of ['aria-labelledby', 'aria-describedby', 'for']) {
    for (const element of all(`[${attribute}]`)) {
      const to = element.getAttribute(attribute);
      must(document.getElementById(to), `${name(element)} points to #${to}, which is not there`);
    }
  }
  for (const field of all('input:not([type=hidden]), textarea, select')) {
    must(field.labels.length === 1 && field.labels[0].innerText.trim(), `${name(field)} has no label`);
    // Below 16 pixels, iPhones zoom in when a field gets the keyboard.
    must(parseFloat(getComputedStyle(field).fontSize) >= 16, `${name(field)} is too small to write in`);
  }

  // Nothing runs, and nothing comes from elsewhere.
  must(all('script, iframe, object, embed').length === 0, 'something runs or is embedded');
  must(all('[src], link[href]').every(element => (element.src || element.href).startsWith('data:')), 'something is loaded');

  // Size.
  const root = document.documentElement;
  must(root.clientWidth === width, `the page is laid out for ${root.clientWidth} pixels instead of ${width}`);
  must(root.scrollWidth <= width, `the page is ${root.scrollWidth} pixels wide`);
  for (const element of all('body *').filter(shown)) {
    const box = element.getBoundingClientRect();
    must(box.left >= 0 && box.right <= width + 0.5, `${name(element)} reaches from ${box.left} to ${box.right}`);
  }
  for (const button of all('button').filter(shown)) {
    const box = button.getBoundingClientRect();
    must(box.height >= 44 && box.width >= 44, `${name(button)} is ${box.width} by ${box.height} pixels`);
  }

  // Contrast: WCAG 2.2, 1.4.3 for texts and 1.4.11 for the borders of controls.
  const colour = text => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    return { red, green, blue, alpha };
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found.alpha === 1) return found;
      must(found.alpha === 0, `${name(at)} is translucent`);
    }
    wrong.push('the page has no ground');
    return { red: 255, green: 255, blue: 255 };
  };
  const luminance = ({ red, green, blue }) => {
    const [r, g, b] = [red, green, blue].map(value => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let read = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(element)) continue;
    const style = getComputedStyle(element);
    const found = contrast(colour(style.color), ground(element));
    must(found >= 4.5, `${name(element)} has a contrast of ${found.toFixed(2)}`);
    must(parseFloat(style.fontSize) >= 14, `${name(element)} is written in ${style.fontSize}`);
    read += 1;
  }
  must(read >= 2, 'the page says nothing');
  for (const control of all('textarea, button').filter(shown)) {
    const found = contrast(colour(getComputedStyle(control).borderTopColor), ground(control.parentElement));
    must(found >= 3, `the border of ${name(control)} has a contrast of ${found.toFixed(2)}`);
  }
  return wrong;
})
