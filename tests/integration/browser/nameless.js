// Controls and pictures that a screen reader could not name.
() => [...document.querySelectorAll("button, a, input, select, textarea, svg.plot, [role=img]")]
  .filter((element) => element.checkVisibility())
  .filter((element) => ![element.getAttribute("aria-label"), element.labels?.[0]?.textContent, element.textContent]
    .some((name) => name?.trim()))
  .map((element) => element.outerHTML.slice(0, 100))
