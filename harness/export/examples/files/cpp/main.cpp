// Checks the export in a folder; see example.hpp, which does the work.
//
//   ./run [FOLDER]     exit code 0: as expected, 1: not, 2: it does not run here

#include <iostream>

#include "example.hpp"

int main(int count, char** given) { return example::check(count > 1 ? given[1] : ".", std::cout); }
