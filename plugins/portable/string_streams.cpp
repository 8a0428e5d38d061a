// Members of string streams that libstdc++ has since GCC 9 and 11: their templates are expanded here, and nothing of
// them is asked of the machine's libstdc++.
#include <sstream>

#ifdef __GLIBCXX__
template class std::basic_stringbuf<char>;
template class std::basic_ostringstream<char>;
template class std::basic_stringstream<char>;
#endif
