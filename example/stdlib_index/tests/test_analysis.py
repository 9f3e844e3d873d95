"""A module is measured right."""

from unittest import TestCase

from stdlib_index.analysis import Analysis, analyse
from stdlib_index.sources import TOP_LEVEL, find_sources, module_name, package_of

SOURCE = '''"""A module."""

class Shape:
    """A shape."""

    def area(self):
        """Its area."""
        def helper():
            """Hidden."""

    async def draw(self):
        return lambda: 1

    def _secret(self):
        """Nobody expects this docstring."""

try:
    def maybe(): pass
except NameError:
    class Instead: pass
'''


class AnalysisTests(TestCase):
    """What ``analyse`` counts, and what it refuses."""

    def test_it_counts_lines_definitions_and_expected_docstrings(self) -> None:
        """Nested and conditional definitions count; hidden and private ones need no docstring."""
        expected = Analysis(lines=20, functions=5, classes=2, documentable=6, documented=3)
        self.assertEqual(analyse(SOURCE.encode()), expected)

    def test_an_empty_file_is_a_module_without_docstring(self) -> None:
        """It has nothing but itself to document."""
        expected = Analysis(lines=0, functions=0, classes=0, documentable=1, documented=0)
        self.assertEqual(analyse(b""), expected)

    def test_what_is_not_python_raises_the_parsers_error(self) -> None:
        """Python 2, an encoding that does not exist, bytes of another encoding."""
        for source in (b"print 'hello'", b"# coding: uft-8\n", b"x = '\xf6'"):
            with self.subTest(source=source), self.assertRaises(SyntaxError):
                analyse(source)

    def test_deep_nesting_does_not_exhaust_the_stack(self) -> None:
        """A long ``elif`` chain is a deep tree."""
        source = "if 0: pass\n" + "elif 0: pass\n" * 1500 + "else:\n  def last(): pass\n"
        self.assertEqual(analyse(source.encode()).functions, 1)


class SourcesTests(TestCase):
    """Where files are found and what they are called."""

    def test_the_library_is_found_without_third_party_packages(self) -> None:
        """Every file once, in order, nothing from site-packages."""
        found = list(find_sources())
        paths = [file.path for file in found]
        self.assertIn("json/decoder.py", paths)
        self.assertEqual(len(paths), len(set(paths)))
        self.assertFalse([path for path in paths if "site-packages" in path])
        self.assertEqual(found, list(find_sources()))

    def test_names_follow_from_the_path(self) -> None:
        """Packages are top-level folders; modules are dotted."""
        self.assertEqual(package_of("xml/dom/__init__.py"), "xml")
        self.assertEqual(package_of("argparse.py"), TOP_LEVEL)
        self.assertEqual(module_name("xml/dom/__init__.py"), "xml.dom")
        self.assertEqual(module_name("argparse.py"), "argparse")
