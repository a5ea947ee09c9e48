"""axe on a page of the book, at a fraction of its time: nothing that could change its verdict is left out.

Measured on lesson 01 (11,700 elements), processor seconds for one view: 19.7 as it comes. Some 10 of them are lists of
what passed (`resultTypes` leaves them), 7 the contrast of 4,000 pieces of text, which have 180 different looks, and 0.8
rules whose findings are moderate at worst.
"""

from axe_playwright_python.base import AXE_SCRIPT

# Preloading would fetch the style sheets again, which some of axe's rules want and no reader's browser does.
OPTIONS = {"preload": False, "resultTypes": ["violations"]}

# Mark one of the pieces of text that look alike: same colour, size and weight, on the same grounds. All that axe's
# contrast depends on is in the key, but for a piece of text that another element happens to lie upon.
MARK_LOOKS = """() => {
    const places = new Map(), seen = new Set(), numbers = new Map([["", 0]]);
    const number = key => numbers.get(key) ?? numbers.set(key, numbers.size).get(key);
    const ground = ["backgroundColor", "backgroundImage", "opacity", "filter", "mixBlendMode", "position", "zIndex",
                    "float", "transform", "clipPath", "visibility", "display"];
    const plain = element => ground.map(name => getComputedStyle(element)[name]).join();
    const place = element => {  // the grounds of an element and of all around it, as a number
        if (!element) return 0;
        if (!places.has(element)) places.set(element, number(place(element.parentElement) + "|" + plain(element)));
        return places.get(element);
    };
    for (const element of document.querySelectorAll("body *")) {
        const says = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
        if (!says && !element.matches("input, textarea, select")) continue;
        const style = getComputedStyle(element);
        const look = [place(element), style.color, style.webkitTextFillColor, style.fontSize, style.fontWeight,
                      style.textShadow, says || element.tagName,
                      !!element.closest("[disabled], [aria-disabled]")].join();
        element.toggleAttribute("data-look", !seen.has(look));
        seen.add(look);
    }
    return seen.size;
}"""

# Rules whose worst is "moderate" by axe's own table, which overrides their checks, cannot tell what we ask for.
RUN = """async ([options, selector]) => {
    const impacts = ["serious", "critical"];
    axe.reset();
    axe.configure({rules: [{id: "color-contrast", selector}]});
    const mild = axe._audit.rules.filter(rule => rule.impact && !impacts.includes(rule.impact));
    if (!mild.length) throw new Error("expected axe's table of impacts, got none");
    const rules = Object.fromEntries(mild.map(rule => [rule.id, {enabled: false}]));
    const found = (await axe.run(options.runOnly ? options : {...options, rules})).violations;
    return found.filter(one => impacts.includes(one.impact))
        .map(one => [one.id, one.impact, one.help, one.nodes[0].html]);
}"""


def violations(page, options=None, everything=False) -> list:
    """Return the serious and critical accessibility violations of a page, with the first place of each.

    Args:
        page: of the browser.
        options: of axe, beside `OPTIONS`.
        everything: measure the contrast of every piece of text, not of one of those that look alike.
    """
    if not page.evaluate("!!window.axe"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(MARK_LOOKS)
    found = page.evaluate(RUN, [OPTIONS | (options or {}), "*" if everything else "[data-look]"])
    return [tuple(one) for one in found]
